"""The harness of every rule's test: one small graph, its gradient in onnxruntime, and two independent answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch

from tokenward.export.autodiff import differentiate

Axes = Literal["sizes", "symbols", "nothing"]
_TYPES = {"float32": "float", "float64": "double", "int32": "int32", "int64": "int64", "bool": "bool"}


class CheckGradient(Protocol):
    """Compare the gradient of `body` (ONNX text, reads x0, x1, ... and writes y) with what PyTorch and the graph say.

    In the text, OWN is the ONNX number of the precision of the run, which is single or double.

    Args:
        inputs: x0, x1, ...; the floating-point ones are differentiated.
        like: the same function in PyTorch.
        constants: further values the body reads, as initializers; floats are cast to the precision of the run.
        axes: what the graph knows beforehand of its inputs' axes: their sizes, one symbol per size (1 stays 1, as
            exporters do), or nothing.
    """

    def __call__(
        self,
        body: str,
        *inputs: np.ndarray,
        like: Callable[..., torch.Tensor],
        constants: Mapping[str, np.ndarray] = ...,
        axes: Axes = ...,
        opset: int = ...,
    ) -> None: ...


class Gradients(Protocol):
    """Run `body` and return y and the cotangents of its floating-point inputs, given `seed`, that of y."""

    def __call__(
        self,
        body: str,
        *inputs: np.ndarray,
        seed: np.ndarray,
        constants: Mapping[str, np.ndarray] = ...,
        axes: Axes = ...,
        opset: int = ...,
    ) -> tuple[np.ndarray, list[np.ndarray]]: ...


@pytest.fixture(scope="session")
def gradients() -> Gradients:
    return _gradients


@pytest.fixture(scope="session")
def check_gradient() -> CheckGradient:
    return _check_gradient


def _check_gradient(
    body: str,
    *inputs: np.ndarray,
    like: Callable[..., torch.Tensor],
    constants: Mapping[str, np.ndarray] | None = None,
    axes: Axes = "symbols",
    opset: int = 20,
) -> None:
    constants = constants or {}
    tensors = [torch.tensor(x.astype(np.float64) if _is_float(x) else x) for x in inputs]
    leaves = [tensor.requires_grad_() for tensor in tensors if tensor.is_floating_point()]
    expected = like(*tensors)
    seed = np.random.default_rng(0).normal(size=expected.shape)
    expected_gradients = torch.autograd.grad((expected * torch.tensor(seed)).sum(), leaves, allow_unused=True)

    y, found = _gradients(body, *inputs, seed=seed, constants=constants, axes=axes, opset=opset)

    np.testing.assert_allclose(y, expected.detach(), rtol=1e-4, atol=1e-5)
    for mine, leaf, theirs in zip(found, leaves, expected_gradients, strict=True):
        assert mine.shape == tuple(leaf.shape)
        theirs_or_zero = torch.zeros_like(leaf) if theirs is None else theirs
        np.testing.assert_allclose(mine, theirs_or_zero, rtol=1e-3, atol=1e-4)

    slope, tolerance = _slope(body, inputs, constants, opset, seed)
    mine_slope = sum(float((d * mine).sum()) for d, mine in zip(_directions(inputs), found, strict=True))
    assert mine_slope == pytest.approx(slope, rel=tolerance, abs=tolerance * (1 + seed.size))


def _gradients(
    body: str,
    *inputs: np.ndarray,
    seed: np.ndarray,
    constants: Mapping[str, np.ndarray] | None = None,
    axes: Axes = "symbols",
    opset: int = 20,
) -> tuple[np.ndarray, list[np.ndarray]]:
    single = [np.asarray(x, np.float32) if _is_float(x) else x for x in inputs]
    model = _model(body, single, constants or {}, np.float32, axes, opset)
    graph = model.graph
    cotangent = ir.Value(name="seed", type=ir.TensorType(ir.DataType.FLOAT), shape=_shape(seed, axes, "seed"))
    variables = [value for value in graph.inputs if value.dtype == ir.DataType.FLOAT]
    results = differentiate(graph, graph.outputs[0], variables, seed=cotangent)
    graph.inputs.append(cotangent)
    graph.outputs.extend(results)
    y, *found = _run(model, single, seed=np.asarray(seed, np.float32))
    return y, found


def _slope(
    body: str, inputs: tuple[np.ndarray, ...], constants: Mapping[str, np.ndarray], opset: int, seed: np.ndarray
) -> tuple[float, float]:
    """Central difference of Σ seed·y along random directions, in double precision where the runtime has it."""
    for dtype, step, tolerance in ((np.float64, 1e-6, 1e-3), (np.float32, 1e-2, 2e-2)):
        model = _model(body, [x.astype(dtype) if _is_float(x) else x for x in inputs], constants, dtype, "sizes", opset)
        sums = []
        try:
            for sign in (1, -1):
                directions = iter(_directions(inputs))
                moved = [(x + sign * step * next(directions)).astype(dtype) if _is_float(x) else x for x in inputs]
                sums.append(float((_run(model, moved)[0].astype(np.float64) * seed).sum()))
        except ort.capi.onnxruntime_pybind11_state.NotImplemented:
            continue
        return (sums[0] - sums[1]) / (2 * step), tolerance
    raise AssertionError("the runtime has this op in neither precision")


def _directions(inputs: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.normal(size=x.shape) for x in inputs if _is_float(x)]


def _model(
    body: str, inputs: list[np.ndarray], constants: Mapping[str, np.ndarray], dtype: type, axes: Axes, opset: int
) -> ir.Model:
    number = _TYPES[np.dtype(dtype).name]
    signature = ", ".join(f"{_TYPES[x.dtype.name]}[] x{i}" for i, x in enumerate(inputs))
    body = body.replace("OWN", str(int(ir.DataType.from_numpy(np.dtype(dtype)))))
    model = ir.from_onnx_text(
        f'<ir_version: 10, opset_import: ["": {opset}]> g ({signature}) => ({number} y) {{ {body} }}',
        initializers=[
            ir.tensor(x.astype(dtype) if _is_float(x) else x, name=name)
            for name, x in constants.items()
            if re.search(rf"\b{name}\b", body)
        ],
    )
    for i, (value, x) in enumerate(zip(model.graph.inputs, inputs, strict=True)):
        value.shape = _shape(x, axes, f"x{i}")
    model.graph.outputs[0].shape = None
    return model


def _shape(x: np.ndarray, axes: Axes, name: str) -> ir.Shape:
    if axes == "sizes":
        return ir.Shape(x.shape)
    if axes == "symbols":
        return ir.Shape([size if size == 1 else f"n{size}" for size in x.shape])
    return ir.Shape([f"{name}_{axis}" for axis in range(x.ndim)])


def _run(model: ir.Model, inputs: list[np.ndarray], **more: np.ndarray) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    proto = ir.to_proto(model).SerializeToString()
    session = ort.InferenceSession(proto, options, providers=["CPUExecutionProvider"])
    feed = {f"x{i}": x for i, x in enumerate(inputs)} | more
    return session.run(None, {name: np.asarray(x) for name, x in feed.items()})


def _is_float(x: np.ndarray) -> bool:
    return np.issubdtype(x.dtype, np.floating)
