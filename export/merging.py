"""Merging: projections of the same rows, such as queries, keys and values, become one product with wider weights.

Each operator makes all threads wait for the slowest, and less is copied where less has to be summed: the backward pass
of a merged product is one product, where its parts needed one each and their sum.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from .emitter import Emitter
from .region import dims, is_constant


def merge(graph: ir.Graph, apart: Collection[ir.Value] = ()) -> int:
    """Merge what can be, in place, and tell how many products that saves.

    Args:
        graph: values are annotated (see `annotation`).
        apart: outputs that stay what they are. Whoever wants less of one than of the others should not compute it with
            them.
    """
    groups: dict[tuple[ir.Value, bool], list[_Projection]] = defaultdict(list)
    for node in graph:
        found = _projection(node)
        if found is not None and found.output not in apart and not found.output.is_graph_output():
            groups[found.rows, found.bias is None].append(found)
    together = [group for group in groups.values() if len(group) > 1]
    writer = _Writer(graph)
    for group in together:
        writer.replace(group)
    graph.sort()
    return sum(len(group) - 1 for group in together)


@dataclass(frozen=True)
class _Projection:
    """`output` = `rows`·`weights` (+ `bias`), with constant weights [K, N] and bias [N]."""

    rows: ir.Value
    weights: ir.Value
    bias: ir.Value | None
    output: ir.Value

    @property
    def width(self) -> int:
        width = (dims(self.weights) or ())[-1]
        assert isinstance(width, int)
        return width


def _projection(node: ir.Node) -> _Projection | None:
    if node.op_type != "MatMul" or node.domain:
        return None
    rows, weights = node.inputs
    if rows is None or weights is None or is_constant(rows) or not is_constant(weights):
        return None
    shape, product = dims(weights) or (), node.outputs[0]
    if len(shape) != 2:
        return None
    uses = list(product.uses())
    if len(uses) == 1 and uses[0].node.op_type == "Add" and not product.is_graph_output():
        add, bias = uses[0].node, uses[0].node.inputs[1 - uses[0].idx]
        if bias is not None and is_constant(bias) and dims(bias) == shape[1:]:
            return _Projection(rows, weights, bias, add.outputs[0])
    return _Projection(rows, weights, None, product)


class _Writer:
    """Writes merged products into a graph; layers that share their weights share the merged ones."""

    def __init__(self, graph: ir.Graph) -> None:
        self._op = Emitter(graph, prefix="merged")
        self._joined: dict[tuple[ir.Value, ...], ir.Value] = {}

    def replace(self, group: Sequence[_Projection]) -> None:
        """Let one product stand for all of a group; the old nodes are left without a reader."""
        op, like, width = self._op, group[0].output, sum(part.width for part in group)
        merged = op.MatMul(group[0].rows, self._join([part.weights for part in group], "weights"))
        _annotate(merged.value, like, width)
        biases = [part.bias for part in group if part.bias is not None]
        if biases:
            merged = op.Add(merged, self._join(biases, "bias"))
            _annotate(merged.value, like, width)
        outputs = [ir.Value(name=op.name(str(part.output.name))) for part in group]
        widths = op.value([part.width for part in group])
        axis = ir.AttrInt64("axis", -1)
        op.graph.append(ir.Node("", "Split", [merged.value, widths], [axis], outputs=outputs, name=op.name("split")))
        for part, output in zip(group, outputs, strict=True):
            _annotate(output, like, part.width)
            part.output.replace_all_uses_with(output)

    def _join(self, parts: Sequence[ir.Value], name: str) -> ir.Value:
        key = tuple(parts)
        if key not in self._joined:
            self._joined[key] = self._op.initializer(_side_by_side(parts), name)
        return self._joined[key]


def _annotate(value: ir.Value, like: ir.Value, width: int) -> None:
    value.type = like.type
    shape = dims(like)
    value.shape = None if shape is None else ir.Shape([*shape[:-1], width])


def _side_by_side(parts: Sequence[ir.Value]) -> ir.TensorProtocol:
    """Constants along their last axis; made when they are read, or a large model would be held twice."""
    tensors = [tensor for part in parts if (tensor := ir.convenience.get_const_tensor(part)) is not None]
    sizes = [tensor.shape.numpy() for tensor in tensors]

    def read() -> ir.TensorProtocol:
        return ir.tensor(np.concatenate([tensor.numpy() for tensor in tensors], axis=-1))

    return ir.LazyTensor(read, tensors[0].dtype, ir.Shape([*sizes[0][:-1], sum(size[-1] for size in sizes)]))
