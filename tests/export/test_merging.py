"""Merging: the same numbers from fewer products."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenward.export.annotation import annotate
from tokenward.export.assembly import finish
from tokenward.export.autodiff import differentiate
from tokenward.export.discovery import discover
from tokenward.export.emitter import Emitter, Term
from tokenward.export.merging import merge
from tokenward.export.narrowing import narrow
from tokenward.export.session import run_graph, serving_session

ROWS = 6
Write = Callable[[Emitter, Term], list[Term]]


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([*shape, seed]).normal(size=shape).astype(np.float32)


def linear(op: Emitter, x: Term, width: int, seed: int = 0, bias: bool = True) -> Term:
    product = op.MatMul(x, drawn(ROWS, width, seed=seed))
    return product + drawn(width, seed=seed) if bias else product


def made(write: Write) -> ir.Model:
    """A graph that embeds its input [batch, sequence] and gives what ``write`` makes of it as y0, y1, ..."""
    ids = ir.Value(name="ids", type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape(["batch", "sequence"]))
    graph = ir.Graph([ids], [], nodes=[], opset_imports={"": 20}, name="main")
    op = Emitter(graph, prefix="made")
    outputs = write(op, op.Gather(drawn(50, ROWS, seed=9), ids, axis=0))
    for number, output in enumerate(outputs):
        output.value.name = f"y{number}"
        graph.outputs.append(output.value)
    model = ir.Model(graph, ir_version=10)
    annotate(model)
    return model


def ops(model: ir.Model) -> Counter[str]:
    return Counter(node.op_type for node in model.graph)


def outcomes(model: ir.Model, folder: Path, shape: tuple[int, int] = (3, 5)) -> dict[str, np.ndarray]:
    finish(model)
    ir.save(model, folder / "graph.onnx")
    ids = np.random.default_rng(1).integers(0, 50, shape)
    return run_graph(serving_session(folder / "graph.onnx"), {"ids": ids})


def merged(write: Write, folder: Path) -> tuple[int, Counter[str]]:
    """What was saved and what is left, once the numbers are found to be the same."""
    model = made(write)
    saved = merge(model.graph)
    got = outcomes(model, folder)
    for name, value in outcomes(made(write), folder).items():
        np.testing.assert_allclose(got[name], value, rtol=1e-5, atol=1e-6)
    return saved, ops(model)


def test_projections_of_the_same_rows_become_one(tmp_path: Path) -> None:
    @settings(max_examples=20, deadline=None)
    @given(st.lists(st.integers(1, 9), min_size=2, max_size=4), st.booleans())
    def check(widths: list[int], bias: bool) -> None:
        def write(op: Emitter, x: Term) -> list[Term]:
            return [op.Tanh(linear(op, x, width, seed, bias)) for seed, width in enumerate(widths)]

        saved, left = merged(write, tmp_path)
        assert saved == len(widths) - 1
        assert left["MatMul"] == left["Split"] == 1
        assert left["Add"] == int(bias)

    check()


def test_those_with_a_bias_and_those_without_are_merged_among_themselves(tmp_path: Path) -> None:
    def write(op: Emitter, x: Term) -> list[Term]:
        return [op.Tanh(linear(op, x, 4, seed, bias)) for seed, bias in enumerate((True, False, True, False, True))]

    saved, left = merged(write, tmp_path)
    assert (saved, left["MatMul"], left["Add"]) == (3, 2, 1)


def test_what_is_no_bias_is_left_to_be_added(tmp_path: Path) -> None:
    def write(op: Emitter, x: Term) -> list[Term]:
        product = linear(op, x, 4, 1, bias=False)
        wider = linear(op, x, 1, 2, bias=False) + drawn(4)  # the sum is wider than the product
        one_per_text = linear(op, x, 4, 3, bias=False) + op.ReduceSum(x, [1, 2], keepdims=1)
        return [product + product, op.Tanh(wider), op.Tanh(one_per_text)]

    saved, left = merged(write, tmp_path)
    assert (saved, left["Add"]) == (2, 3)


@pytest.mark.parametrize(
    "write",
    [
        lambda op, x: [op.Tanh(linear(op, x, 4, 0)), op.Tanh(linear(op, op.Tanh(x), 4, 1))],
        lambda op, x: [op.MatMul(x, op.Transpose(x, perm=[0, 2, 1])), op.Tanh(linear(op, x, 4))],
        lambda op, x: [op.MatMul(drawn(i, ROWS), op.Transpose(x, perm=[0, 2, 1])) for i in (3, 4)],
        lambda op, x: [op.Tanh(op.MatMul(x, drawn(1, ROWS, 4))), op.Tanh(op.MatMul(x, drawn(1, ROWS, 4, seed=1)))],
        lambda op, x: [linear(op, x, 4, 0), op.Tanh(linear(op, x, 4, 1))],
        lambda op, x: [op.Tanh(linear(op, x, 4, 0, bias=False)), linear(op, x, 4, 1, bias=False)],
    ],
    ids=["other rows", "no weights", "from the left", "weights of rank 3", "an output", "an output without a bias"],
)
def test_nothing_else_is(write: Write, tmp_path: Path) -> None:
    saved, left = merged(write, tmp_path)
    assert saved == left["Split"] == 0


def test_layers_that_share_their_weights_share_the_merged_ones(tmp_path: Path) -> None:
    def write(op: Emitter, x: Term) -> list[Term]:
        for _ in range(3):
            x = op.Tanh(linear(op, x, ROWS, 0)) * op.Tanh(linear(op, x, ROWS, 1))
        return [x]

    model = made(write)
    assert merge(model.graph) == 3
    finish(model)
    weights = {node.inputs[1] for node in model.graph if node.op_type == "MatMul"}
    assert len(weights) == 1


def test_the_gradient_is_the_same_and_takes_one_product(tmp_path: Path) -> None:
    def write(op: Emitter, x: Term) -> list[Term]:
        q, k, v = (linear(op, x, ROWS, seed) for seed in range(3))
        weights = op.Softmax(op.MatMul(q, op.Transpose(k, perm=[0, 2, 1])), axis=-1)
        return [op.ReduceSum(op.Tanh(op.MatMul(weights, v)), [2], keepdims=0)]

    results, products = [], []
    for together in (False, True):
        model = made(write)
        (x,) = (node.outputs[0] for node in model.graph if node.op_type == "Gather")
        if together:
            assert merge(model.graph) == 2
        gradient = differentiate(model.graph, model.graph.outputs[0], x)
        gradient.name = "gradient"
        model.graph.outputs.append(gradient)
        results.append(outcomes(model, tmp_path))
        weighted = [node for node in model.graph if node.op_type == "MatMul" and node.inputs[1].const_value]
        products.append(len(weighted))
    np.testing.assert_allclose(results[1]["gradient"], results[0]["gradient"], rtol=1e-4, atol=1e-6)
    assert products == [6, 2]


def test_of_which_less_is_wanted_stays_apart(tiny) -> None:
    """The class token's query alone is made in the last layer; the others are there for the tap, where it is asked."""
    model = tiny("bert").graph()
    layout = discover(model.graph)
    copies = narrow(model.graph, layout)
    layers = len(layout.attention)
    assert merge(model.graph, apart=copies) == 2 * (layers - 1) + 1  # keys and values alone in the last
