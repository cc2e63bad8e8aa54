from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenward.export.annotation import annotate
from tokenward.export.assembly import finish, guard_graph
from tokenward.export.discovery import discover
from tokenward.export.emitter import Emitter
from tokenward.export.gate import Gated, gate_rows, rows_at_or_above
from tokenward.export.presets import ExportSettings, plan
from tokenward.export.session import run_graph, serving_session
from tokenward.kernels import reference


def build(gated: bool) -> ir.Model:
    """y [batch, sequence], whose nodes use the batch in every way: as rows, folded, as a size, as row numbers."""
    ids = ir.Value(name="ids", type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape(["batch", "sequence"]))
    rows = ir.Value(name="rows", type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape(["batch", "sequence"]))
    graph = ir.Graph([ids, rows], [], nodes=[], opset_imports={"": 20}, name="main")
    op = Emitter(graph, prefix="made")
    weights = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    shape = op.Shape(ids)
    batch, sequence = op.Slice(shape, [0], [1]), op.Slice(shape, [1], [2])
    x = op.Gather(weights, ids, axis=0)
    heads = op.Transpose(op.Reshape(x, op.Concat(batch, sequence, [2, 4], axis=0)), perm=[0, 2, 1, 3])
    folded = op.Reshape(heads, op.Concat([-1], sequence, [4], axis=0))  # [2*batch, sequence, 4]
    positions = op.Cast(op.Range(np.array(0), op.Squeeze(sequence, [0]), np.array(1)), to=ir.DataType.FLOAT)
    chosen = op.ReduceMax(op.Cast(rows, to=ir.DataType.FLOAT), [1], keepdims=0)
    answer = op.ReduceSum(folded, [2], keepdims=0)
    answer.value.name = "answer"
    # From here on only y needs it: row numbers, sizes and values of the whole batch meet.
    products = op.MatMul(folded, op.Transpose(folded, perm=[0, 2, 1]))
    back = op.Reshape(products, op.Concat(batch, [2], sequence, sequence, axis=0))
    numbers = op.Range(np.array(0), op.Squeeze(batch, [0]), np.array(1))
    first = op.GatherND(x, op.Unsqueeze(numbers, [1]))
    # Each text's own token, as classifiers look up the last one: by row and position, and in the rows of all texts.
    own = op.Mod(op.ReduceSum(ids, [1], keepdims=0), sequence)
    pairs = op.Concat(op.Unsqueeze(numbers, [1]), op.Unsqueeze(own, [1]), axis=1)
    flat = op.Reshape(x, op.Concat([-1], [8], axis=0))
    looked_up = op.GatherND(x, pairs) + op.Exp(op.Gather(flat, numbers * sequence + own, axis=0))
    y = (
        op.ReduceMean(op.ReduceSum(back, [3], keepdims=0), [1], keepdims=0)
        + op.ReduceSum(first, [2], keepdims=0) * positions
        + op.ReduceSum(op.Tanh(looked_up), [1], keepdims=1)
    )
    y.value.name = "y"
    graph.outputs.extend([answer.value, y.value, chosen.value])
    model = ir.Model(graph, ir_version=10)
    annotate(model)
    if gated:
        blank = op.Expand(np.array(-7, np.float32), shape).value
        # The pairs are there already when the gate is made, as in a classifier that reads the last token.
        kept = [answer.value, pairs.value]
        (out,) = gate_rows(graph, [Gated(y.value, blank)], op.Greater(chosen, 0.0).value, kept)
        out.name, y.value.name = "y", "inner_y"
        graph.outputs[:] = [answer.value, out]
    else:
        graph.outputs[:] = [answer.value, y.value]
    finish(model)
    return model


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> list[onnxruntime.InferenceSession]:
    folder = tmp_path_factory.mktemp("gate")
    made = []
    for gated in (False, True):
        ir.save(build(gated), folder / f"{gated}.onnx")
        made.append(serving_session(folder / f"{gated}.onnx"))
    return made


@settings(max_examples=60, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=6), st.integers(1, 7), st.integers(0, 1000))
def test_chosen_rows_are_computed_and_others_blank(sessions, chosen, sequence, seed) -> None:
    plain, gated = sessions
    ids = np.random.default_rng(seed).integers(0, 30, (len(chosen), sequence))
    rows = np.repeat(np.array(chosen, np.int64)[:, None], sequence, axis=1)
    answer, y = plain.run(["answer", "y"], {"ids": ids, "rows": rows})
    same_answer, some = gated.run(["answer", "y"], {"ids": ids, "rows": rows})
    np.testing.assert_allclose(same_answer, answer, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(some[chosen], y[chosen], rtol=1e-4, atol=1e-4)
    assert (some[np.logical_not(chosen)] == -7).all()


def test_the_gated_part_is_inside_the_if_alone() -> None:
    model = build(gated=True)
    inside = [node.op_type for node in model.graph.all_nodes() if node.graph is not model.graph]
    outside = [node.op_type for node in model.graph]
    assert "GatherND" in inside
    assert "GatherND" not in outside
    assert outside.count("If") == 1


@pytest.mark.parametrize(
    ("gate", "chosen"),
    [
        (-np.inf, [True, True, True, True]),
        (2.0, [False, True, True, True]),
        (2.00005, [False, True, True, True]),  # a score of 2.00005 may have a bound of 2 by rounding
        (2.001, [False, False, True, True]),
        (np.inf, [False, False, False, False]),
    ],
)
def test_rows_at_the_gate(gate: float, chosen: list[bool]) -> None:
    bound = ir.Value(name="bound", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(["batch"]))
    threshold = ir.Value(name="gate", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([]))
    graph = ir.Graph([bound, threshold], [], nodes=[], opset_imports={"": 20}, name="main")
    graph.outputs.append(rows_at_or_above(Emitter(graph), bound, threshold))
    session = onnxruntime.InferenceSession(ir.to_proto(ir.Model(graph, ir_version=10)).SerializeToString())
    feed = {"bound": np.array([0, 2, np.inf, np.nan], np.float32), "gate": np.array(gate, np.float32)}
    assert session.run(None, feed)[0].tolist() == chosen


@pytest.fixture(scope="module", params=["bert", "gpt2 last"])
def paper(request, tiny, table, tmp_path_factory: pytest.TempPathFactory):
    graph = tiny(request.param).graph()
    layout = discover(graph.graph)
    guard_graph(graph, layout, plan(ExportSettings("paper"), 2), table)
    path = tmp_path_factory.mktemp("paper") / "paper.onnx"
    ir.save(graph, path)
    return serving_session(path)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 64), st.integers(1, 30), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_verdicts_are_the_same_with_and_without_the_gate(paper, batch, sequence, quantile, seed) -> None:
    """Over thousands of texts (40 batches of up to 64), at thresholds anywhere among the scores."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, sequence + 1, batch)
    mask = (np.arange(sequence) < lengths[:, None]).astype(np.int64)
    feed = {"input_ids": np.where(mask == 1, rng.integers(4, 100, mask.shape), 0), "attention_mask": mask}
    full = run_graph(paper, feed)
    assert full["scored"].all()
    threshold = np.float32(np.quantile(full["anomaly_score"], quantile))
    some = run_graph(paper, feed, gate=threshold)
    kept = some["scored"]
    assert (full["anomaly_score"][~kept] < threshold).all(), "a skipped text must be proved to be below"
    for name in ("saliency", "token_scores", "anomaly_score"):
        scale = max(float(np.abs(full[name]).max()), 1e-6)
        np.testing.assert_allclose(some[name][kept], full[name][kept], atol=1e-4 * scale)
        assert not some[name][~kept].any()
    for name in ("logits", "attention_received", "class_attention"):
        np.testing.assert_allclose(some[name], full[name], rtol=1e-4, atol=1e-5)


def test_the_gate_skips_what_the_reference_bound_proves(paper, table) -> None:
    rng = np.random.default_rng(0)
    feed = {"input_ids": rng.integers(4, 100, (32, 12)), "attention_mask": np.ones((32, 12), np.int64)}
    full = run_graph(paper, feed)
    limit = reference.bound(full["attention_received"], table[feed["input_ids"]])
    threshold = float(np.median(limit))
    skipped = ~run_graph(paper, feed, gate=threshold)["scored"]
    clear = np.abs(limit - threshold) > 1e-3 * threshold  # near it, rounding and the safety margin decide
    assert (skipped == (limit < threshold))[clear].all()
    assert skipped.any()
