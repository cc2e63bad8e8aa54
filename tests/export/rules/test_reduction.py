from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from tokenward.errors import ExportError
from tokenward.export.autodiff import differentiate

PROPERTY = settings(max_examples=20, deadline=None, derandomize=True)
AXES = st.sampled_from(["sizes", "symbols", "nothing"])
REDUCTIONS = {
    "ReduceSum": torch.sum,
    "ReduceMean": torch.mean,
    "ReduceMax": torch.amax,
    "ReduceMin": torch.amin,
    "ReduceL2": lambda x, dim, keepdim: torch.linalg.vector_norm(x, 2, dim, keepdim),
    "ReduceLogSumExp": torch.logsumexp,
}


def draw(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("op", REDUCTIONS)
@PROPERTY
@given(data=st.data(), keep=st.booleans(), opset=st.sampled_from([13, 18, 20]), axes=AXES)
def test_reductions(check_gradient, op, data, keep, opset, axes):
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    reduced = data.draw(st.lists(st.sampled_from(range(len(shape))), min_size=1, max_size=len(shape), unique=True))
    named = [axis - len(shape) if data.draw(st.booleans()) else axis for axis in reduced]
    as_input = op == "ReduceSum" or opset >= 18
    body = f"y = {op}<keepdims={int(keep)}" + (">(x0, reduced)" if as_input else f", axes={named}>(x0)")
    check_gradient(
        body,
        draw(shape),
        like=lambda x: REDUCTIONS[op](x, dim=reduced, keepdim=keep),
        constants={"reduced": np.array(named)},
        axes=axes,
        opset=opset,
    )


@pytest.mark.parametrize("op", REDUCTIONS)
@pytest.mark.parametrize("keep", [True, False])
def test_reductions_of_everything(check_gradient, op, keep):
    like = lambda x: REDUCTIONS[op](x, dim=(0, 1), keepdim=keep)  # noqa: E731
    check_gradient(f"y = {op}<keepdims={int(keep)}>(x0)", draw((2, 3)), like=like, axes="nothing")


@pytest.mark.parametrize("op", REDUCTIONS)
@pytest.mark.parametrize("keep", [True, False])
def test_reductions_of_one_number(check_gradient, op, keep):
    like = lambda x: REDUCTIONS[op](x, dim=(), keepdim=keep)  # noqa: E731
    check_gradient(f"y = {op}<keepdims={int(keep)}>(x0)", np.array(1.5), like=like)


@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMean", "ReduceMax"])
def test_no_axes_may_mean_no_reduction(check_gradient, op):
    check_gradient(f"y = {op}<noop_with_empty_axes=1>(x0)", draw((2, 3)), like=torch.clone)


def test_the_mean_of_more_than_half_precision_counts():
    """In ONNX's reference evaluator: ONNX Runtime computes half precision in single on a CPU."""
    model = ir.from_onnx_text(
        '<ir_version: 10, opset_import: ["": 20]> g (float16[M, N] x) => (float16[1, 1] y) { y = ReduceMean(x) }'
    )
    model.graph.outputs.append(differentiate(model.graph, model.graph.outputs[0], model.graph.inputs[0]))
    _, found = ReferenceEvaluator(ir.to_proto(model)).run(None, {"x": np.zeros((2, 35_000), np.float16)})
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, 1 / 70_000, rtol=1e-2)


def test_ties_share_the_gradient(gradients):
    x = np.array([[1.0, 3.0, 3.0, 2.0]])
    _, (found,) = gradients("y = ReduceMax<keepdims=0>(x0)", x, seed=np.array(6.0))
    assert found.tolist() == [[0, 3, 3, 0]]  # as PyTorch's amax does


def test_the_norm_of_nothing_has_no_slope(gradients):
    _, (found,) = gradients("y = ReduceL2<keepdims=0>(x0)", np.zeros(3), seed=np.array(1.0))
    assert found.tolist() == [0, 0, 0]


def test_sum_over_an_empty_axis(check_gradient):
    check_gradient(
        "y = ReduceSum(x0, axes)",
        draw((2, 0)),
        like=lambda x: x.sum(1, keepdim=True),
        constants={"axes": np.array([1])},
    )


def test_mean_pooling_over_a_symbolic_axis(check_gradient):
    mask = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])[..., None]

    def like(x):
        weights = torch.tensor(mask)
        return (x * weights).sum(1) / weights.sum(1)

    check_gradient(
        "m = Mul(x0, mask)  s = ReduceSum<keepdims=0>(m, one)  n = ReduceSum<keepdims=0>(mask, one)  y = Div(s, n)",
        draw((2, 3, 4)),
        like=like,
        constants={"mask": mask, "one": np.array([1])},
    )


def test_axes_known_only_at_run_time_are_refused(check_gradient):
    with pytest.raises(ExportError, match="axes are computed while the graph runs"):
        check_gradient("y = ReduceSum(x0, x1)", draw((2, 3)), np.array([1]), like=lambda x, _: x.sum(1, keepdim=True))
