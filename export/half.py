"""fp16 for GPUs: the classifier in half precision, before anything is derived from it.

Only the path from the word embeddings to the logits changes. Masks and position terms are computed in single precision
and cast where they meet it, and so are attention and gradient where scores are made of them (see `attention_tap` and
`scoring`): sums over tokens need the range that half precision lacks.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from .discovery import Layout, nodes_between
from .emitter import Emitter
from .region import is_constant

_HALF, _SINGLE = ir.DataType.FLOAT16, ir.DataType.FLOAT
_LARGEST = float(np.finfo(np.float16).max)


def to_half(model: ir.Model, layout: Layout) -> Layout:
    """Convert a plain classifier in place; return its layout with the logits, which stay float32, as they are now."""
    graph = model.graph
    path = nodes_between(graph, layout.table, layout.logits)
    own = {value for node in path for value in node.outputs}
    op = Emitter(graph, prefix="half")
    halves: dict[ir.Value, ir.Value] = {}
    for node in path:
        for i, value in enumerate(node.inputs):
            if value is None or value.dtype != _SINGLE or value in own:
                continue
            if value not in halves:
                halves[value] = _half_weight(op, value) if is_constant(value) else _half_of(op, value)
            node.replace_input_with(i, halves[value])
        if node.op_type == "Cast":
            node.attributes["to"] = ir.AttrInt64("to", _HALF)
        for value in node.outputs:
            value.dtype = _HALF
    layout.logits.name = op.name("logits")
    logits = op.Cast(layout.logits, to=_SINGLE).value
    logits.shape = layout.logits.shape
    graph.outputs[:] = [logits]
    graph.sort()
    return replace(layout, logits=logits)


def sum_in_single(model: ir.Model) -> None:
    """Let gradients of gathers, which add up any number of terms, do so in single precision, in place."""
    for graph in [model.graph, *model.graph.subgraphs()]:
        op = Emitter(graph, constants=model.graph, prefix="single")
        for node in [n for n in graph if n.op_type.startswith("Scatter") and n.outputs[0].dtype == _HALF]:
            for i, value in enumerate(node.inputs):
                if value is not None and value.dtype == _HALF:
                    node.replace_input_with(i, op.Cast(value, to=_SINGLE).value)
            total = node.outputs[0]
            readers = list(total.uses())
            half = op.Cast(total, to=_HALF).value
            total.dtype = _SINGLE
            for reader, i in readers:
                reader.replace_input_with(i, half)
        graph.sort()


def _half_weight(op: Emitter, value: ir.Value) -> ir.Value:
    """Register a constant in half precision, converted only when it is written."""
    tensor = ir.convenience.get_const_tensor(value)
    assert tensor is not None

    def read() -> ir.TensorProtocol:
        return ir.tensor(np.clip(tensor.numpy(), -_LARGEST, _LARGEST).astype(np.float16))

    return op.initializer(ir.LazyTensor(read, _HALF, ir.Shape(tensor.shape.numpy())), f"{value.name}")


def _half_of(op: Emitter, value: ir.Value) -> ir.Value:
    """Cast a computed value; a mask's lowest number must not become −∞, which makes fully masked rows NaN."""
    half = op.Cast(op.Clip(value, -_LARGEST, _LARGEST), to=_HALF).value
    half.shape = value.shape
    return half
