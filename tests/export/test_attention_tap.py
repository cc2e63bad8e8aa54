from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest

from tokenward.export.attention import AttentionLayer
from tokenward.export.attention_tap import attention_received, class_attention, class_attention_by_layer, last_layer
from tokenward.export.discovery import Layout
from tokenward.export.emitter import Emitter
from tokenward.export.validation import class_attention as expected_class_attention
from tokenward.kernels import reference

LAYERS, HEADS = 3, 2


def value(name: str, dtype: ir.DataType, shape: list[str | int]) -> ir.Value:
    return ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(shape))


def build(folded: bool, pooling: str, layers: list[int]) -> ir.Model:
    """A graph of the tap alone: the attention matrices of three layers are inputs."""
    ids, mask = (value(name, ir.DataType.INT64, ["batch", "sequence"]) for name in ("input_ids", "attention_mask"))
    shape = ["2*batch", "sequence", "sequence"] if folded else ["batch", HEADS, "sequence", "sequence"]
    weights = [value(f"P{i}", ir.DataType.FLOAT, shape) for i in range(LAYERS)]
    graph = ir.Graph([mask, *weights], [], nodes=[], opset_imports={"": 20}, name="tap")
    softmax = ir.node("Softmax", [None])
    attention = tuple(AttentionLayer(softmax, w, HEADS, w) for w in weights)
    layout = Layout(ids, mask, None, weights[0], weights[0], weights[0], attention, pooling, None)
    op = Emitter(graph, prefix="guard")
    by_layer = class_attention_by_layer(op, layout, {})
    for name, output in (
        ("received", attention_received(op, layout, layers)),
        ("row", class_attention(op, layout, {})),
        ("by_layer", by_layer),
        ("last", last_layer(op, by_layer)),
    ):
        output.name = name
        graph.outputs.append(output)
    return ir.Model(graph, ir_version=10)


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("pooling", ["class", "mean", "last"])
@pytest.mark.parametrize("layers", [[0, 1, 2], [2], [0, 2]])
def test_equals_the_reference(folded: bool, pooling: str, layers: list[int], tmp_path: Path) -> None:
    ir.save(build(folded, pooling, layers), tmp_path / "tap.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "tap.onnx")
    rng = np.random.default_rng(0)
    for batch, sequence in ((1, 1), (1, 6), (4, 9)):
        lengths = rng.integers(1, sequence + 1, batch)
        mask = (np.arange(sequence) < lengths[:, None]).astype(np.int64)
        scores = rng.normal(size=(LAYERS, batch, HEADS, sequence, sequence))
        p = np.exp(scores) * mask[None, :, None, None, :]
        p = (p / p.sum(axis=-1, keepdims=True)).astype(np.float32)
        given = p.reshape(LAYERS, -1, sequence, sequence) if folded else p
        feed = {"attention_mask": mask, **{f"P{i}": given[i] for i in range(LAYERS)}}
        received, row, by_layer, last = session.run(["received", "row", "by_layer", "last"], feed)
        real = mask.astype(bool)
        np.testing.assert_allclose(received, reference.attention_received(p[layers], real), atol=1e-5)
        np.testing.assert_allclose(row, expected_class_attention(p, real, pooling), atol=1e-5)
        each = [expected_class_attention(p[: layer + 1], real, pooling) for layer in range(LAYERS)]
        np.testing.assert_allclose(by_layer, np.stack(each, axis=1), atol=1e-5)
        np.testing.assert_array_equal(last, by_layer[:, -1])
        np.testing.assert_allclose(received.sum(axis=1), lengths, rtol=1e-5)
