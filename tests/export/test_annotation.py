from __future__ import annotations

import re

import numpy as np
import onnx_ir as ir
import pytest

from tokenward.errors import ExportError
from tokenward.export.annotation import annotate
from tokenward.export.emitter import Emitter


def annotations(graph: ir.Graph) -> dict[str, tuple[ir.DataType | None, str]]:
    return {str(v.name): (v.dtype, str(v.shape)) for node in graph for v in node.outputs}


def test_finds_the_shapes_that_the_exporter_knew(tiny) -> None:
    model = tiny("bert").graph()
    known = annotations(model.graph)
    for node in model.graph:
        for value in node.outputs:
            value.shape = None
    annotate(model)
    found = annotations(model.graph)
    certain = {value for value, (_, shape) in known.items() if not re.search(r"None|Min|u\d", shape)}
    assert {value: found[value] for value in certain} == {value: known[value] for value in certain}
    assert len(certain) > len(known) / 2


def test_names_axes_that_follow_both_sizes_or_none() -> None:
    ids = ir.Value(name="ids", type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape(["batch", "sequence"]))
    graph = ir.Graph([ids], [], nodes=[], opset_imports={"": 20}, name="main")
    op = Emitter(graph)
    flat = op.Reshape(ids, [-1]).value
    twice = op.Concat(ids, op.Slice(ids, [1], [1 << 40], [1]), axis=1).value  # 2 · sequence − 1
    heads = op.Concat(*[ids] * 3, axis=0).value
    graph.outputs.extend([flat, twice, heads])
    annotate(ir.Model(graph, ir_version=10))
    assert str(flat.shape) == "[batch*sequence]"
    assert str(twice.shape) == "[batch,size_13_13_21]"
    assert str(heads.shape) == "[3*batch,sequence]"
    assert graph.outputs == [flat, twice, heads]


def test_a_model_may_know_one_token_type_alone() -> None:
    axes = ir.Shape(["batch", "sequence"])
    types = ir.Value(name="token_type_ids", type=ir.TensorType(ir.DataType.INT64), shape=axes)
    graph = ir.Graph([types], [], nodes=[], opset_imports={"": 20}, name="main")
    looked_up = Emitter(graph).Gather(np.ones((1, 8), np.float32), types, axis=0).value
    graph.outputs.append(looked_up)
    annotate(ir.Model(graph, ir_version=10))
    assert str(looked_up.shape) == "[batch,sequence,8]"


def test_a_graph_that_fixes_its_shapes_is_refused() -> None:
    ids = ir.Value(name="ids", type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape(["batch", "sequence"]))
    graph = ir.Graph([ids], [], nodes=[], opset_imports={"": 20}, name="main")
    op = Emitter(graph)
    graph.outputs.append(op.Add(ids, np.zeros((2, 7), np.int64)).value)
    with pytest.raises(ExportError, match="different number and length") as raised:
        annotate(ir.Model(graph, ir_version=10))
    assert "\n" not in str(raised.value)
