from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest

from tokenward.export.annotation import annotate
from tokenward.export.assembly import finish
from tokenward.export.discovery import Layout, discover
from tokenward.export.emitter import Emitter, Term
from tokenward.export.narrowing import narrow


def run(model: ir.Model, folder: Path, feed: dict[str, np.ndarray]) -> np.ndarray:
    ir.save(model, folder / "graph.onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(folder / "graph.onnx", options).run(["logits"], feed)[0]


def token_rows(graph: ir.Graph) -> int:
    """Nodes of the graph that still compute a row per token."""
    return sum("sequence" in str(value.shape) for node in graph for value in node.outputs)


def test_the_answer_stays_and_the_last_layer_shrinks(tiny, tmp_path: Path) -> None:
    plain, narrowed = tiny("bert").graph(), tiny("bert").graph()
    layout = discover(narrowed.graph)
    copies = narrow(narrowed.graph, layout)
    finish(narrowed)

    rng = np.random.default_rng(0)
    ids = rng.integers(4, 100, (3, 9))
    feed = {"input_ids": ids, "attention_mask": np.where(np.arange(9) < [[9], [4], [1]], 1, 0)}
    np.testing.assert_allclose(run(narrowed, tmp_path, feed), run(plain, tmp_path, feed), rtol=1e-4, atol=1e-6)

    last = layout.attention[-1]
    assert str(copies[last.weights].shape) == "[batch,4,1,sequence]"
    assert last.softmax.graph is None, "nothing reads the whole softmax any more"
    # After the last attention no value has a row per token, so the feed-forward part runs for one.
    position = list(narrowed.graph).index(copies[last.weights].producer())
    later = [value for node in list(narrowed.graph)[position + 1 :] for value in node.outputs]
    products = [value for value in later if value.producer().op_type == "MatMul"]
    assert products
    assert not any("sequence" in str(value.shape) for value in products)


def test_a_second_reader_keeps_the_whole_rows(tiny) -> None:
    model = tiny("bert").graph()
    layout = discover(model.graph)
    model.graph.outputs.append(layout.pooled.inputs[0])  # someone else wants the last hidden state
    before = token_rows(model.graph)
    assert narrow(model.graph, layout) == {}
    assert token_rows(model.graph) == before


def test_classifiers_that_read_all_tokens_stay_as_they_are(tiny) -> None:
    model = tiny("bert").graph()
    before = len(model.graph)
    assert narrow(model.graph, replace(discover(model.graph), pooling="mean")) == {}
    assert len(model.graph) == before


@pytest.mark.parametrize("reader", ["Gather", "Slice"])
def test_the_axis_may_be_counted_from_the_back(reader: str) -> None:
    """As the legacy exporter does for `x.select(-2, 0)`."""
    ids = ir.Value(name="input_ids", type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape(["batch", "sequence"]))
    graph = ir.Graph([ids], [], nodes=[], opset_imports={"": 20}, name="main")
    op = Emitter(graph, prefix="made")
    x = op.Gather(np.ones((20, 8), np.float32), ids, axis=0)
    hidden = op.Tanh(x)
    pooled = op.Gather(hidden, np.array(0), axis=-2) if reader == "Gather" else op.Slice(hidden, [0], [1], [-2])
    logits = op.MatMul(pooled, np.ones((8, 3), np.float32)).value
    logits.name = "logits"
    graph.outputs.append(logits)
    annotate(ir.Model(graph, ir_version=10))
    copies = narrow(graph, Layout(ids, ids, None, logits, ids, x.value, (), "class", pooled.value.producer()))
    assert str(copies[hidden.value].shape) == "[batch,1,8]"


def rows_of(kind: str, op: Emitter, x: Term, y: Term) -> Term:
    """Compute [batch, sequence, 8] from x and y of that shape by ops that a rule covers, or not."""
    match kind:
        case "Split":
            op.graph.append(
                node := ir.node("Split", [x.value], {"axis": -1, "num_outputs": 2}, num_outputs=2, name="split")
            )
            first, second = node.outputs
            first.name, second.name = "first", "second"
            first.dtype = second.dtype = ir.DataType.FLOAT
            return op.Concat(second, op.Tanh(first), axis=-1)
        case "Slice":
            return op.Concat(op.Slice(x, [4], [8], [2]), op.Slice(y, [0], [4], [-1]), axis=2)
        case "GatherElements":
            index = op.Cast(op.Clip(op.Abs(y) * 3.0, 0.0, 7.0), to=ir.DataType.INT64)
            return op.GatherElements(x, index, axis=2)
        case "GatherElements along rows":  # all rows of x are candidates for each row of the output
            index = op.Cast(op.Clip(op.Abs(y), 0.0, 1.0), to=ir.DataType.INT64)
            return op.GatherElements(x, index, axis=1)
        case "ReduceMean":
            return x - op.ReduceMean(x * y, [-1], keepdims=1)
        case "ReduceMean over tokens":
            return x - op.ReduceMean(x, [1], keepdims=1)
        case "heads":
            heads = op.Transpose(op.Reshape(x, [0, -1, 2, 4]), perm=[0, 2, 1, 3])
            folded = op.Reshape(heads, op.Concat([-1], op.Slice(op.Shape(heads), [2], [4], [0]), axis=0))
            unfolded = op.Reshape(op.Relu(folded), op.Shape(heads))
            return op.Reshape(op.Transpose(unfolded, perm=[0, 2, 1, 3]), op.Shape(x))
        case "MatMul of columns":
            return op.Transpose(op.MatMul(np.eye(8, dtype=np.float32), op.Transpose(x, perm=[0, 2, 1])), perm=[0, 2, 1])
        case "CumSum":  # no rule: sliced behind it
            return op.CumSum(x, np.array(1)) * y
        case "Softmax over tokens":
            return op.Softmax(x, axis=1) * y
    raise AssertionError(kind)


KINDS = (
    *("Split", "Slice", "GatherElements", "GatherElements along rows", "ReduceMean", "ReduceMean over tokens"),
    *("heads", "MatMul of columns", "CumSum", "Softmax over tokens"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_rules_op_by_op(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def build() -> tuple[ir.Model, Layout]:
        ids = ir.Value(name="input_ids", type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape(["batch", "sequence"]))
        graph = ir.Graph([ids], [], nodes=[], opset_imports={"": 20}, name="main")
        op = Emitter(graph, prefix="made")
        weights = np.random.default_rng(1)
        x, y = (op.Gather(weights.normal(size=(20, 8)).astype(np.float32), ids, axis=0) for _ in "xy")
        pooled = op.Gather(rows_of(kind, op, x, y), np.array(0), axis=1)
        logits = op.MatMul(pooled, weights.normal(size=(8, 3)).astype(np.float32)).value
        logits.name = "logits"
        graph.outputs.append(logits)
        model = ir.Model(graph, ir_version=10)
        annotate(model)
        return model, Layout(ids, ids, None, logits, ids, x.value, (), "class", pooled.value.producer())

    plain, _ = build()
    narrowed, layout = build()
    narrow(narrowed.graph, layout)
    finish(narrowed)
    feed = {"input_ids": rng.integers(0, 20, (3, 6))}
    np.testing.assert_allclose(run(narrowed, tmp_path, feed), run(plain, tmp_path, feed), rtol=1e-5, atol=1e-6)
