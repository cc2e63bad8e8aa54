"""The gate: an `If` around what only some texts need, computed for the rows of those texts alone.

Nodes that serve nothing but the gated values move into the body of an `If`. What they read from outside is first cut to
the chosen rows. Where no row is chosen the body does not run at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from .axes import BATCH, fold
from .emitter import Emitter
from .region import dims, is_constant

# Rounding must not push a score over a bound that exact arithmetic puts above it.
_SLACK = 1e-4

# Which input of an op says where to look or to write: it decides what the output is made of, but is no part of it.
_PLACES = {"Gather": 1, "GatherElements": 1, "GatherND": 1, "ScatterElements": 1, "ScatterND": 1}


@dataclass(frozen=True)
class Gated:
    """A value that the gate may leave out, and one of its shape [batch, ...] that stands where rows were skipped."""

    value: ir.Value
    skipped: ir.Value


def rows_at_or_above(op: Emitter, bound: ir.Value, gate: ir.Value) -> ir.Value:
    """Rows whose score may reach ``gate``: bool [batch]; all at −∞, none at +∞; between, those of a NaN bound, too."""
    below = op.Less(op.term(bound) * (1.0 + _SLACK), gate)
    rows = op.Not(op.Or(below, op.Equal(gate, float("inf")))).value
    rows.shape = ir.Shape([BATCH])
    return rows


def gate_rows(graph: ir.Graph, gated: Sequence[Gated], rows: ir.Value, kept: Iterable[ir.Value]) -> list[ir.Value]:
    """Compute ``gated`` for the chosen ``rows`` only; return the values that replace them, in order.

    Args:
        graph: the whole graph; its batch axis must be annotated on values that the gated part reads.
        rows: bool [batch], outside the gated part.
        kept: values that are to be computed for all rows whatever the gate says.
    """
    inside = _only_for([item.value for item in gated], [rows, *(item.skipped for item in gated), *kept])
    body = ir.Graph([], [], nodes=[], name="chosen_rows")
    outer, op = Emitter(graph, prefix="gate"), Emitter(body, constants=graph, prefix="chosen")
    index = outer.Reshape(outer.NonZero(rows), [-1]).value
    index.shape = ir.Shape(["chosen"])

    cut = _RowCut(graph, op, index)
    moved = [node for node in graph if node in inside]
    sources = {v: cut(v) for node in moved for v in node.inputs if v is not None and v.producer() not in inside}
    graph.remove(moved)
    for node in moved:
        for i, value in enumerate(node.inputs):
            if value in sources:
                node.replace_input_with(i, sources[value])
        for value in node.outputs:
            value.shape = None  # its `batch` would now mean two sizes, and buffers are reused by that name
        body.append(node)
    scatter_at = op.Unsqueeze(index, [1])
    body.outputs.extend(op.ScatterND(item.skipped, scatter_at, item.value).value for item in gated)

    skipped = ir.Graph([], [], nodes=[], name="no_rows")
    keep = Emitter(skipped, constants=graph, prefix="skipped")
    skipped.outputs.extend(keep.Identity(item.skipped).value for item in gated)
    outputs = [ir.Value(name=outer.name("out"), type=item.value.type) for item in gated]
    graph.append(
        ir.node(
            "If",
            [outer.Greater(outer.Size(index), 0).value],
            {"then_branch": body, "else_branch": skipped},
            outputs=outputs,
            name=outer.name("if"),
        )
    )
    return outputs


def _only_for(gated: Sequence[ir.Value], kept: Sequence[ir.Value]) -> set[ir.Node]:
    return _ancestors(gated) - _ancestors(kept)


def _ancestors(values: Sequence[ir.Value]) -> set[ir.Node]:
    """Nodes that ``values`` are computed by."""
    found: set[ir.Node] = set()
    open_values = list(values)
    while open_values:
        node = open_values.pop().producer()
        if node is not None and node not in found:
            found.add(node)
            open_values.extend(value for value in node.inputs if value is not None)
    return found


class _RowCut:
    """Turns a value of the whole batch into what the forward pass would have computed on the chosen rows.

    Three kinds of values: those that hold a row per text are gathered; those that depend on the batch only through its
    size (targets of Reshape), or that name rows by their numbers (where each text's last token is), are computed again
    from cut values, since the chosen rows have other numbers; the rest stay as they are.
    """

    def __init__(self, graph: ir.Graph, op: Emitter, index: ir.Value) -> None:
        self._op = op
        self._index = index
        self._known: dict[ir.Value, ir.Value] = {}
        self._texts, self._sized = _dependence(graph)
        self._numbered = _row_numbers(graph, self._sized)

    def __call__(self, value: ir.Value) -> ir.Value:
        if value not in self._known:
            self._known[value] = self._cut(value)
        return self._known[value]

    def _cut(self, value: ir.Value) -> ir.Value:
        if is_constant(value) or value not in self._texts | self._sized:
            return value
        if value in self._texts and value not in self._numbered:
            for axis, dim in enumerate(dims(value) or ()):
                factor = fold(dim)
                if factor is not None:
                    return self._gather(value, axis, factor)
        node = value.producer()
        if node is None:
            return value  # an input without a batch axis
        inputs = [None if v is None else self(v) for v in node.inputs]
        outputs = [ir.Value(name=self._op.name("again"), type=v.type) for v in node.outputs]
        self._op.graph.append(
            ir.Node(
                node.domain,
                node.op_type,
                inputs,
                list(node.attributes.values()),
                outputs=outputs,
                name=self._op.name("node_again"),
            )
        )
        self._known.update(zip(node.outputs, outputs, strict=True))
        return self._known[value]

    def _gather(self, value: ir.Value, axis: int, factor: int) -> ir.Value:
        op = self._op
        if factor == 1:
            return op.Gather(value, self._index, axis=axis).value
        # Heads are folded into the batch: unfold, choose, fold again.
        shape = op.Shape(value)
        rank = len(dims(value) or ())
        head, tail = op.Slice(shape, [0], [axis], [0]), op.Slice(shape, [axis + 1], [rank], [0])
        unfolded = op.Reshape(value, op.Concat(head, [-1, factor], tail, axis=0))
        chosen = op.Gather(unfolded, self._index, axis=axis)
        return op.Reshape(chosen, op.Concat(head, [-1], tail, axis=0)).value


def _dependence(graph: ir.Graph) -> tuple[set[ir.Value], set[ir.Value]]:
    """Values that depend on what the inputs hold, and values that depend on the size of the batch alone."""
    texts, sized = set(graph.inputs), set[ir.Value]()
    for node in graph:
        inputs = [value for value in node.inputs if value is not None]
        if node.op_type in ("Shape", "Size"):
            if _measures_batch(node):
                sized.update(node.outputs)
        elif any(value in texts for value in inputs):
            texts.update(node.outputs)
        elif any(value in sized for value in inputs):
            sized.update(node.outputs)
    return texts, sized


def _row_numbers(graph: ir.Graph, sized: set[ir.Value]) -> set[ir.Value]:
    """Values that hold numbers of rows of the batch, or are computed from them."""
    numbered = set[ir.Value]()
    for node in graph:
        read = [value for i, value in enumerate(node.inputs) if i != _PLACES.get(node.op_type)]
        if (
            (node.op_type == "Range" and node.outputs[0] in sized and _has_rows(node.outputs[0]))
            or (node.op_type == "NonZero" and _has_rows(node.inputs[0]))
            or (node.op_type not in ("Shape", "Size") and any(value in numbered for value in read))
        ):
            numbered.update(node.outputs)
    return numbered


def _has_rows(value: ir.Value | None) -> bool:
    """Whether an axis of ``value`` may run over the texts."""
    shape = None if value is None else dims(value)
    return shape is None or any(dim is None or BATCH in str(dim) for dim in shape)


def _measures_batch(node: ir.Node) -> bool:
    shape = dims(node.inputs[0]) if node.inputs[0] is not None else None
    if shape is None:
        return True
    measured = shape[node.attributes.get_int("start", 0) : node.attributes.get_int("end", len(shape))]
    return any(dim is None or BATCH in str(dim) for dim in measured)
