"""Packing: what treats tokens alike is computed for the real tokens of a batch alone, not for its padding.

Most of a classifier (its projections, feed-forward parts and normalisations) makes a row per token out of that token's
row. There the rows of all texts lie one after the other, [tokens, width]; attention, and whatever else lets tokens
meet, gets them back as [batch, sequence, width]. In the places of padding then stands a copy of a real token's row:
nothing may read it, as nothing may read padding. What blanks padding out (a product with the mask) stays where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod

import onnx_ir as ir

from .axes import BATCH, SEQUENCE
from .emitter import Emitter, Term
from .region import constant, dims, is_constant

_TOKENS = ((BATCH, SEQUENCE), (f"{BATCH}*{SEQUENCE}",))
_PRODUCTS = ("MatMul", "Gemm")
_REDUCTIONS = ("ReduceMean", "ReduceSum")


def pack(graph: ir.Graph, attention_mask: ir.Value) -> bool:
    """Rewrite ``graph`` in place if most of its work can be packed, and tell whether that was done.

    Numbers change by rounding at most, but for those of padding. A text whose mask is empty keeps its first token.

    Args:
        graph: values are annotated with the axes batch and sequence (see `annotation`).
        attention_mask: its input [batch, sequence], 0 for padding.
    """
    embedded = _embedded(graph)
    chosen = _worth_it([node for node in graph if _alike(node) and embedded.issuperset(_rows_in(node))])
    if _work(chosen) <= _work(graph) / 2:
        return False
    _Rows(graph, attention_mask).move(chosen)
    graph.sort()
    return True


def _work(nodes: Iterable[ir.Node]) -> int:
    """Multiplications of each row with weights."""
    weights = [node.inputs[1] for node in nodes if node.op_type in _PRODUCTS and _has_rows(node.inputs[0])]
    shapes = [dims(value) or () for value in weights if value is not None and is_constant(value)]
    return sum(prod(size for size in shape if isinstance(size, int)) for shape in shapes)


def _has_rows(value: ir.Value | None) -> bool:
    """Whether ``value`` holds a row for each token: [batch, sequence, width] or [batch*sequence, width]."""
    shape = dims(value) if value is not None and not is_constant(value) else None
    return shape is not None and shape[:-1] in _TOKENS and isinstance(shape[-1], int)


def _rows_in(node: ir.Node) -> list[ir.Value]:
    return [value for value in node.inputs if value is not None and _has_rows(value)]


def _embedded(graph: ir.Graph) -> set[ir.Value]:
    """Values that are made of rows of embedding tables: not the mask, and what only says where padding is."""
    found = set[ir.Value]()
    for node in graph:
        table = node.inputs[0] if node.op_type == "Gather" else None
        if (table is not None and is_constant(table) and _rank(table) == 2) or not found.isdisjoint(node.inputs):
            found.update(node.outputs)
    return found


def _alike(node: ir.Node) -> bool:
    """Whether a node makes each row of its outputs out of the rows of the same token, the same way for all."""
    rule = _RULES.get(node.op_type) if not node.domain else None
    whole = all(_has_rows(value) and not value.is_graph_output() for value in node.outputs)
    return rule is not None and whole and rule(node)


def _elementwise(node: ir.Node) -> bool:
    """Rows with rows, or with what is the same for all tokens."""
    return all(value is None or _has_rows(value) or _is_row(value) for value in node.inputs)


def _is_row(value: ir.Value | None) -> bool:
    return value is not None and is_constant(value) and _rank(value) <= 1


def _product(node: ir.Node) -> bool:
    rows, weights, *bias = node.inputs
    known = weights is not None and is_constant(weights) and _rank(weights) == 2
    turned = node.attributes.get_int("transA", 0) == 1
    return _has_rows(rows) and known and not turned and all(value is None or _is_row(value) for value in bias)


def _reshape(node: ir.Node) -> bool:
    """From one of the two forms of rows to the other."""
    before, after = node.inputs[0], node.outputs[0]
    return before is not None and _has_rows(before) and _width(before) == _width(after)


def _along_rows(node: ir.Node) -> bool:
    """Within each row: its normalisation."""
    own = node.attributes.get_int("axis", -1) in (-1, _rank(node.outputs[0]) - 1)
    return own and _has_rows(node.inputs[0]) and all(value is None or _is_row(value) for value in node.inputs[1:])


def _split(node: ir.Node) -> bool:
    return "axis" in node.attributes and _along_rows(node)


def _reduction(node: ir.Node) -> bool:
    axes = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    kept = node.attributes.get_int("keepdims", 1) == 1
    own = axes is not None and axes.tolist() in ([-1], [_rank(node.outputs[0]) - 1])
    return kept and own and _has_rows(node.inputs[0])


_ELEMENTWISE = (
    *("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Clip", "Where", "Cast", "Identity"),
    *("Neg", "Abs", "Sqrt", "Reciprocal", "Exp", "Erf", "Tanh", "Sigmoid", "Relu", "Gelu", "Softplus"),
)

_RULES: dict[str, Callable[[ir.Node], bool]] = {
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    **dict.fromkeys(("LayerNormalization", "SimplifiedLayerNormalization"), _along_rows),
    **dict.fromkeys(_REDUCTIONS, _reduction),
    **dict.fromkeys(_PRODUCTS, _product),
    "Split": _split,
    "Reshape": _reshape,
}


def _worth_it(nodes: list[ir.Node]) -> list[ir.Node]:
    """Those of ``nodes`` that hang together with a product with weights: only these cost more than moving rows does."""
    group = {node: {node} for node in nodes}
    for node in nodes:
        for value in _rows_in(node):
            producer = value.producer()
            if producer in group and group[producer] is not group[node]:
                smaller, larger = sorted((group[producer], group[node]), key=len)
                larger |= smaller
                group.update(dict.fromkeys(smaller, larger))
    chosen = {node for node in nodes if any(member.op_type in _PRODUCTS for member in group[node])}
    for node in reversed(nodes):  # one row is moved as fast as its parts
        if node.op_type == "Split" and not any(use.node in chosen for value in node.outputs for use in value.uses()):
            chosen.discard(node)
    return [node for node in nodes if node in chosen]


class _Rows:
    """Where the rows of a batch's tokens come from and go to."""

    def __init__(self, graph: ir.Graph, attention_mask: ir.Value) -> None:
        self._op = op = Emitter(graph, prefix="packed")
        self._emitters = {graph: op}
        real = op.Cast(attention_mask, to=ir.DataType.BOOL)
        # The first token is kept whatever its mask says: without any row there would be none to stand for padding.
        first = op.Expand(op.Cast([1], to=ir.DataType.BOOL), op.Shape(op.Slice(real, [0], [1], [1])))
        kept = op.Reshape(op.Concat(first, op.Slice(real, [1], [2**31], [1]), axis=1), [-1])
        self._index = op.Reshape(op.NonZero(kept), [-1])
        row = op.CumSum(op.Cast(kept, to=ir.DataType.INT64), op.value([0])) - op.value([1])
        self._places = {2: row, 3: op.Reshape(row, op.Shape(attention_mask))}  # by the rank of what is put there
        self._packed: dict[ir.Value, ir.Value] = {}
        self._chosen: dict[ir.Value, ir.Value] = {}
        self._parts: dict[tuple[int, int, int], ir.Value] = {}

    def move(self, nodes: list[ir.Node]) -> None:
        """Let ``nodes``, which are in order, work on packed rows; whoever else reads them gets them back in place."""
        moved = set(nodes)
        for node in nodes:
            for index, value in enumerate(node.inputs):
                if value is not None and _has_rows(value) and value.producer() not in moved:
                    node.replace_input_with(index, self._pack(value))
        for value in [value for node in nodes for value in node.outputs]:
            self._unpack(value, moved)
        for node in nodes:
            self._shorten(node)

    def _pack(self, value: ir.Value) -> ir.Value:
        """Rows of the real tokens: [tokens, width]."""
        if value not in self._packed:
            self._packed[value] = self._op.Gather(
                self._op.Reshape(value, [-1, _width(value)]), self._index, axis=0
            ).value
        return self._packed[value]

    def _unpack(self, value: ir.Value, moved: set[ir.Node]) -> None:
        """Give ``value``, which becomes packed, in its old shape to those who are not ``moved``, in their graphs."""
        place, unpacked = self._places[_rank(value)], dict[ir.Graph, ir.Value]()
        for use in list(value.uses()):
            graph = use.node.graph
            if use.node in moved or not isinstance(graph, ir.Graph):
                continue
            if graph is self._op.graph and _splits_evenly(use.node):
                self._deal(value, use.node, place)
                continue
            if graph is not self._op.graph and _chooses_texts(use.node):
                use.node.replace_input_with(1, self._rows_of_chosen(use.node, place))
                continue
            if graph not in unpacked:
                unpacked[graph] = self._emitter(graph).Gather(value, place, axis=0).value
                unpacked[graph].shape = value.shape
            use.node.replace_input_with(use.idx, unpacked[graph])
        value.shape = ir.Shape(["tokens", _width(value)])

    def _deal(self, value: ir.Value, split: ir.Node, place: Term) -> None:
        """Put the parts of ``value``'s rows in place without splitting the rows first."""
        count, rank = len(split.outputs), _rank(value)
        rows = self._op.Reshape(value, [-1, _width(split.outputs[0])])
        for number, part in enumerate(split.outputs):
            key = (rank, count, number)
            if key not in self._parts:
                self._parts[key] = (place * self._op.term([count]) + self._op.term([number])).value
            unpacked = self._op.Gather(rows, self._parts[key], axis=0).value
            unpacked.shape, unpacked.type = part.shape, part.type
            part.replace_all_uses_with(unpacked)

    def _rows_of_chosen(self, choice: ir.Node, place: Term) -> ir.Value:
        """Where the rows of the texts that a Gather chooses are, in place of which texts these are."""
        index = choice.inputs[1]
        assert index is not None
        if index not in self._chosen:
            self._chosen[index] = self._op.Gather(place, index, axis=0).value
        return self._chosen[index]

    def _emitter(self, graph: ir.Graph) -> Emitter:
        """What writes into ``graph``: the one that was given, or the body of an `If` in it."""
        if graph not in self._emitters:
            self._emitters[graph] = Emitter(graph, constants=self._op.graph, prefix="unpacked")
        return self._emitters[graph]

    def _shorten(self, node: ir.Node) -> None:
        """Name the axis of a row by its new number, and give rows their new shape."""
        if node.op_type in _REDUCTIONS:
            node.replace_input_with(1, self._op.value([-1]))
        elif node.op_type == "Reshape":
            node.replace_input_with(1, self._op.value([-1, _width(node.outputs[0])]))
        elif "axis" in node.attributes:
            node.attributes["axis"] = ir.AttrInt64("axis", -1)


def _splits_evenly(node: ir.Node) -> bool:
    """Whether a node cuts rows into parts of one width."""
    parts = node.op_type == "Split" and not node.domain and _split(node) and all(map(_has_rows, node.outputs))
    return parts and len({dims(value) for value in node.outputs}) == 1


def _chooses_texts(node: ir.Node) -> bool:
    """Whether a node takes whole texts out of [batch, sequence, width], as the gate does."""
    if node.op_type != "Gather" or node.domain or node.attributes.get_int("axis", 0) != 0:
        return False
    return [_rank(value) for value in node.inputs if value is not None] == [3, 1]


def _rank(value: ir.Value) -> int:
    return len(dims(value) or ())


def _width(value: ir.Value) -> int:
    width = (dims(value) or ())[-1]
    assert isinstance(width, int)
    return width
