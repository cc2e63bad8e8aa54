from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tokenward.export.assembly import guard_graph
from tokenward.export.discovery import discover
from tokenward.export.emitter import Emitter
from tokenward.export.presets import ExportSettings, plan
from tokenward.export.quantization import quantize, quantize_weight
from tokenward.export.session import run_graph, serving_session


@given(
    arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=st.floats(-8, 8, width=16)),
    st.sampled_from([64, 127]),
)
def test_weights_are_off_by_half_a_step_at_most(weight: np.ndarray, largest: int) -> None:
    integers, scales = quantize_weight(weight, largest)
    assert integers.dtype == np.int8
    assert np.abs(integers.astype(int)).max() <= largest
    assert (np.abs(integers * scales - weight) <= scales / 2 * (1 + 1e-3)).all()


def test_a_column_of_zeros_stays_zero() -> None:
    integers, scales = quantize_weight(np.zeros((3, 1), np.float32), 127)
    assert not (integers * scales).any()


@pytest.fixture(scope="module", params=["paper", "tokenward"])
def pair(request, tiny, table, tmp_path_factory: pytest.TempPathFactory):
    """The fp32 and the int8 graph of one preset, and sessions over them."""
    folder = tmp_path_factory.mktemp(request.param)
    models, sessions = [], []
    for lower in (False, True):
        model = tiny("bert").graph()
        layout = discover(model.graph)
        guard_graph(model, layout, plan(ExportSettings(request.param), 2), table)
        if lower:
            quantize(model, reduce_range=True)
        ir.save(model, folder / f"{lower}.onnx")
        models.append(model)
        sessions.append(serving_session(folder / f"{lower}.onnx"))
    return models, sessions


def test_int8_stays_close(pair) -> None:
    _, (full, lower) = pair
    rng = np.random.default_rng(0)
    mask = np.where(np.arange(12) < rng.integers(3, 13, (8, 1)), 1, 0)
    feed = {"input_ids": rng.integers(4, 100, mask.shape) * mask, "attention_mask": mask}
    expected, got = run_graph(full, feed), run_graph(lower, feed)
    for name in ("logits", "class_attention", "attention_received", "saliency"):
        assert np.abs(got[name] - expected[name]).max() <= 0.1 * np.abs(expected[name]).max(), name
    assert np.abs(got["logits"] - expected["logits"]).max() > 0, "nothing was quantised"
    np.testing.assert_array_equal(got["scored"], expected["scored"])
    # Rows of the attention still sum to one: it is quantised products that go in, not the softmax.
    np.testing.assert_allclose(got["attention_received"].sum(axis=1), mask.sum(axis=1), rtol=1e-4)


def test_both_directions_are_quantised_and_the_head_is_not(pair) -> None:
    (full, lower), _ = pair

    def products(model: ir.Model, op_type: str) -> list[ir.Node]:
        weights = {name for name, v in model.graph.initializers.items() if v.const_value.dtype == ir.DataType.FLOAT}
        quantised = {name for name, v in model.graph.initializers.items() if v.const_value.dtype == ir.DataType.INT8}
        known = quantised if op_type == "MatMulInteger" else weights
        return [n for n in model.graph.all_nodes() if n.op_type == op_type and n.inputs[1].name in known]

    weighted = products(full, "MatMul")
    assert products(lower, "MatMul") == []
    assert len(products(lower, "MatMulInteger")) == len(weighted)
    inside = [node for node in products(lower, "MatMulInteger") if node.graph is not lower.graph]
    assert inside, "the gradient, inside the If, too"
    assert len(products(lower, "Gemm")) == len(products(full, "Gemm")) == 2
    assert sum(v.const_value.nbytes for v in lower.graph.initializers.values()) < sum(
        v.const_value.nbytes for v in full.graph.initializers.values()
    )


def product_behind(model: ir.Model) -> ir.Node:
    """The node that the logits come from, but for nodes that choose and add."""
    node = next(value for value in model.graph.outputs if value.name == "logits").producer()
    while node.op_type in ("Gather", "GatherND", "Add"):
        node = node.inputs[0].producer()
    return node


def test_a_head_that_is_a_product_of_tokens_is_not_quantised(tiny, table) -> None:
    """GPT-2 scores every token and then picks the last."""
    model = tiny("gpt2 last").graph()
    guard_graph(model, discover(model.graph), plan(ExportSettings("paper"), 2), table)
    assert product_behind(model).op_type == "MatMul"
    quantize(model, reduce_range=True)
    assert product_behind(model).op_type == "MatMul"
    assert any(node.op_type == "MatMulInteger" for node in model.graph)


def test_a_head_with_a_bias_is_not_quantised() -> None:
    x = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(["batch", 16]))
    graph = ir.Graph([x], [], nodes=[], opset_imports={"": 20}, name="main")
    op, weight = Emitter(graph), np.ones((16, 16), np.float32)
    logits = op.Add(np.ones(16, np.float32), op.MatMul(op.MatMul(x, weight), weight)).value
    logits.name = "logits"
    graph.outputs.append(logits)
    quantize(ir.Model(graph, ir_version=10), reduce_range=True)
    assert [node.op_type for node in graph if node.op_type.startswith("MatMul")] == ["MatMulInteger", "MatMul"]


def test_reduced_range_uses_seven_bits(pair) -> None:
    (_, lower), _ = pair
    for value in lower.graph.initializers.values():
        if value.const_value.dtype == ir.DataType.INT8:
            assert np.abs(value.const_value.numpy().astype(int)).max() == 64


@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm_over_tokens_is_quantised(transposed: int, tmp_path: Path) -> None:
    """GPT-2 multiplies [batch*sequence, width], with a bias in the same node."""
    rng = np.random.default_rng(0)
    x = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(["batch*sequence", 16]))
    graph = ir.Graph([x], [], nodes=[], opset_imports={"": 20}, name="main")
    shape = (8, 16) if transposed else (16, 8)
    weight, bias = rng.normal(size=shape).astype(np.float32), rng.normal(size=8).astype(np.float32)
    y = Emitter(graph).Gemm(x, weight, bias, transB=transposed).value
    y.name = "y"
    graph.outputs.append(y)
    model = ir.Model(graph, ir_version=10)
    quantize(model, reduce_range=True)
    ir.save(model, tmp_path / "int8.onnx")
    assert not any(node.op_type == "Gemm" for node in model.graph)
    rows = rng.normal(size=(5, 16)).astype(np.float32)
    expected = rows @ (weight.T if transposed else weight) + bias
    got = run_graph(serving_session(tmp_path / "int8.onnx"), {"x": rows})["y"]
    assert 0 < np.abs(expected - got).max() < 0.05 * np.abs(expected).max()
