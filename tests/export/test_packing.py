"""Packing: the same numbers, from the rows of real tokens alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.export.own import WIDTH, OwnClassifier, exported
from tokenward.artifact import load_artifact
from tokenward.export.annotation import annotate
from tokenward.export.assembly import finish, guard_graph
from tokenward.export.discovery import discover
from tokenward.export.emitter import Emitter, Term
from tokenward.export.packing import pack
from tokenward.export.presets import ExportSettings, plan
from tokenward.export.session import run_graph, serving_session

Feed = dict[str, NDArray[np.int64]]


def feed_of(lengths: list[int], seed: int = 0, width: int | None = None) -> Feed:
    """Random texts of these lengths, each padded to the longest."""
    width = width or max(lengths)
    mask = (np.arange(width) < np.array(lengths)[:, None]).astype(np.int64)
    return {"input_ids": np.random.default_rng(seed).integers(4, 100, mask.shape) * mask, "attention_mask": mask}


def whole_products(graph: ir.Graph) -> list[ir.Node]:
    """Products with weights that make a row for each token and place of padding."""
    products = [node for node in graph if node.op_type in ("MatMul", "Gemm") and node.inputs[1].const_value]
    return [node for node in products if "sequence" in str(node.outputs[0].shape)]


def sessions(tiny, table, preset: str, folder: Path) -> list[onnxruntime.InferenceSession]:
    """Of the same model, without packing and with it."""
    opened = []
    for packed in (False, True):
        model = tiny("bert").graph()
        layout = discover(model.graph)
        chosen = plan(ExportSettings(preset, packed=packed), len(layout.attention))  # type: ignore[arg-type]
        assert guard_graph(model, layout, chosen, table) == packed
        path = folder / f"{packed}.onnx"
        ir.save(model, path)
        opened.append(serving_session(path))
    return opened


@pytest.mark.parametrize("preset", ["paper", "late", "tokenward"])
def test_every_output_stays_the_same_in_every_batch(preset: str, tiny, table, tmp_path: Path) -> None:
    padded, packed = sessions(tiny, table, preset, tmp_path)
    gated = [{}] if preset == "late" else [{}, {"gate": 1.0}, {"gate": np.inf}]

    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(0, 9), st.sampled_from(gated))
    def check(lengths: list[int], seed: int, gate: dict[str, float]) -> None:
        feed = feed_of(lengths, seed)
        expected, got = run_graph(padded, feed, **gate), run_graph(packed, feed, **gate)
        for output, value in expected.items():
            np.testing.assert_allclose(got[output], value, rtol=1e-4, atol=2e-6, err_msg=output)

    check()


def test_masks_with_holes_and_texts_without_a_token(tiny, table, tmp_path: Path) -> None:
    padded, packed = sessions(tiny, table, "tokenward", tmp_path)
    feed = feed_of([9, 9, 9])
    feed["attention_mask"][1, [0, 3, 4]] = 0
    expected, got = run_graph(padded, feed), run_graph(packed, feed)
    np.testing.assert_allclose(got["logits"], expected["logits"], rtol=1e-4, atol=1e-6)
    for empty in ([1], [0, 1, 2]):
        feed["attention_mask"][empty] = 0
        assert np.isfinite(run_graph(packed, feed)["logits"]).all()


def made(rows: Callable[[Emitter, Term, Term], Term]) -> tuple[ir.Model, ir.Value]:
    """A graph that sums, over real tokens, ``rows`` of x [batch, sequence, 8] and the mask [batch, sequence, 1]."""
    inputs = [
        ir.Value(name=name, type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape(["batch", "sequence"]))
        for name in ("input_ids", "attention_mask")
    ]
    graph = ir.Graph(inputs, [], nodes=[], opset_imports={"": 20}, name="main")
    op = Emitter(graph, prefix="made")
    mask = op.Cast(op.Unsqueeze(inputs[1], [2]), to=ir.DataType.FLOAT)
    x = op.Gather(np.random.default_rng(1).normal(size=(100, 8)).astype(np.float32), inputs[0], axis=0)
    y = op.ReduceSum(rows(op, x, mask) * mask, [1], keepdims=0)
    y.value.name = "y"
    graph.outputs.append(y.value)
    model = ir.Model(graph, ir_version=10)
    annotate(model)
    return model, inputs[1]


WEIGHTS = np.random.default_rng(2).normal(size=(8, 8)).astype(np.float32)
SCALE = np.linspace(0.5, 2, 8, dtype=np.float32)


def norm(op: Emitter, x: Term, axis: int) -> Term:
    """LayerNormalization in parts, as older exports have it."""
    centred = x - op.ReduceMean(x, [axis], keepdims=1)
    return centred / op.Sqrt(op.ReduceMean(op.Pow(centred, 2.0), [axis], keepdims=1) + 1e-5) * SCALE


def halves(op: Emitter, x: Term) -> Term:
    op.graph.append(node := ir.node("Split", [x.value], {"axis": 2, "num_outputs": 2}, num_outputs=2, name="split"))
    first, second = node.outputs
    first.name, second.name = "first", "second"
    first.dtype = second.dtype = ir.DataType.FLOAT
    return op.Tanh(first) * second


def split(op: Emitter, x: Term, widths: list[int], axis: int = -1) -> list[Term]:
    outputs = [ir.Value(name=op.name("part"), type=ir.TensorType(ir.DataType.FLOAT)) for _ in widths]
    attributes = [ir.AttrInt64("axis", axis)]
    op.graph.append(
        ir.Node("", "Split", [x.value, op.value(widths)], attributes, outputs=outputs, name=op.name("split"))
    )
    return [op.term(output) for output in outputs]


def together(op: Emitter, x: Term, mask: Term, widths: list[int]) -> Term:
    """Attention, its queries, keys and values made at once."""
    weights = np.random.default_rng(3).normal(size=(8, sum(widths))).astype(np.float32)
    parts = [ir.Value(name=op.name("part"), type=ir.TensorType(ir.DataType.FLOAT)) for _ in widths]
    made_at_once = [op.MatMul(x, weights).value, op.value(widths)]
    op.graph.append(ir.Node("", "Split", made_at_once, [ir.AttrInt64("axis", -1)], outputs=parts, name="split"))
    q, k, v = map(op.term, parts)
    scores = op.MatMul(q, op.Transpose(k, perm=[0, 2, 1])) + (op.Transpose(mask, perm=[0, 2, 1]) - 1.0) * 1e4
    return op.MatMul(op.Softmax(scores, axis=-1), v)


PACKED: dict[str, Callable[[Emitter, Term, Term], Term]] = {
    "a product": lambda op, x, _: op.MatMul(x, WEIGHTS),
    "bias and activation": lambda op, x, _: op.Gelu(op.MatMul(x, WEIGHTS) + SCALE) - 1.5,
    "normalisation": lambda op, x, _: op.LayerNormalization(op.MatMul(x, WEIGHTS), SCALE, axis=2),
    "normalisation in parts": lambda op, x, _: norm(op, op.MatMul(x, WEIGHTS), -1),
    "the same by number": lambda op, x, _: norm(op, op.MatMul(x, WEIGHTS), 2),
    "a gate": lambda op, x, _: halves(op, op.MatMul(x, WEIGHTS)),
    "folded": lambda op, x, _: op.Reshape(op.Gemm(op.Reshape(x, [-1, 8]), WEIGHTS, SCALE), op.Shape(x)),
    "residual": lambda op, x, _: x + op.MatMul(op.Relu(op.MatMul(x, WEIGHTS)), WEIGHTS),
    "attention": lambda op, x, mask: op.MatMul(
        op.MatMul(
            op.Softmax(
                op.MatMul(op.MatMul(x, WEIGHTS), op.Transpose(op.MatMul(x, WEIGHTS), perm=[0, 2, 1]))
                + (op.Transpose(mask, perm=[0, 2, 1]) - 1.0) * 1e4,
                axis=-1,
            ),
            op.MatMul(x, WEIGHTS),
        ),
        WEIGHTS,
    ),
}

PACKED |= {
    "attention, parts of one width": lambda op, x, mask: together(op, x, mask, [8, 8, 8]),
    "attention, parts of two widths": lambda op, x, mask: together(op, x, mask, [4, 4, 8]),
}

PADDED: dict[str, Callable[[Emitter, Term, Term], Term]] = {
    "no product": lambda op, x, _: op.Gelu(x) * 2.0,
    "no more than half of the work": lambda op, x, _: op.MatMul(op.MatMul(x, WEIGHTS), WEIGHTS[None]),
    "one weight per text": lambda op, x, _: op.MatMul(x, op.MatMul(op.Transpose(x, perm=[0, 2, 1]), x)),
}


def answer(model: ir.Model, folder: Path, feed: Feed) -> NDArray[np.float32]:
    ir.save(model, folder / "graph.onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(folder / "graph.onnx", options).run(["y"], feed)[0]


@pytest.mark.parametrize("kind", PACKED)
def test_ops_that_treat_tokens_alike(kind: str, tmp_path: Path) -> None:
    plain, _ = made(PACKED[kind])
    model, mask = made(PACKED[kind])
    assert pack(model.graph, mask)
    finish(model)
    assert not whole_products(model.graph)
    for lengths in ([7, 3, 1], [5], [4, 4]):
        feed = feed_of(lengths)
        np.testing.assert_allclose(answer(model, tmp_path, feed), answer(plain, tmp_path, feed), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("widths", "splits"), [([8, 8, 8], 0), ([4, 4, 8], 1)])
def test_parts_of_one_width_are_put_in_place_without_being_split(widths: list[int], splits: int) -> None:
    model, mask = made(lambda op, x, mask: together(op, x, mask, widths))
    assert pack(model.graph, mask)
    finish(model)
    assert [node.op_type for node in model.graph].count("Split") == splits


def test_rows_of_chosen_texts_are_taken_once(tiny, table) -> None:
    model = tiny("bert").graph()
    layout = discover(model.graph)
    assert guard_graph(model, layout, plan(ExportSettings("paper"), len(layout.attention)), table)
    (body,) = (node.attributes["then_branch"].as_graph() for node in model.graph if node.op_type == "If")
    for node in body:
        if node.op_type == "Gather" and node.inputs[0].producer() in set(body):
            assert node.inputs[0].producer().op_type != "Gather"


@pytest.mark.parametrize("kind", PADDED)
def test_a_graph_with_little_to_pack_stays_as_it_is(kind: str) -> None:
    model, mask = made(PADDED[kind])
    before = [(node.op_type, *node.inputs) for node in model.graph]
    assert not pack(model.graph, mask)
    assert [(node.op_type, *node.inputs) for node in model.graph] == before


def test_what_blanks_padding_out_stays_in_its_place(tmp_path: Path) -> None:
    """A maximum over all places, of rows that the mask has blanked out: no copies of real rows may stand there."""

    def rows(op: Emitter, x: Term, mask: Term) -> Term:
        return x * 0.0 + op.ReduceMax(op.MatMul(x, WEIGHTS) * mask - 9.0, [1], keepdims=1)

    plain, _ = made(rows)
    model, mask = made(rows)
    assert pack(model.graph, mask)
    finish(model)
    feed = feed_of([7, 1, 2])
    np.testing.assert_allclose(answer(model, tmp_path, feed), answer(plain, tmp_path, feed), rtol=1e-5)


class Blanked(OwnClassifier):
    """Reads all tokens: the sum of a product, without bias, with rows that are nothing where padding stands."""

    def forward(self, ids, mask):
        x = self.embedding(ids)
        for layer in self.parts:
            x = self._layer(layer, x, mask)
        blanked = x * mask[:, :, None].float()
        return self.head((blanked @ self.parts[0].weight.T[:, :WIDTH]).sum(1) / mask.sum(1, keepdim=True))


def test_a_model_that_relies_on_blank_padding_is_exported_as_it_is(tmp_path: Path) -> None:
    guard = load_artifact(exported(Blanked(layers=2), tmp_path)).guard
    assert not guard.graph.packed
    assert max(guard.parity.values()) <= 1e-3


def test_other_models_are_packed(tmp_path: Path) -> None:
    assert load_artifact(exported(OwnClassifier(layers=2), tmp_path)).guard.graph.packed
