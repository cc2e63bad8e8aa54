"""Class-token narrowing: a classifier that reads one position needs one row of the last layer, not all of them.

The one-row slice at the classifier is pushed up through ops that treat rows alike, to the queries of the last layer;
keys and values stay whole. Going backwards, a node is copied for one row if each use of its outputs wants that row
alone. The originals stay for whoever else reads them (the attention tap) and vanish if nobody does. A gradient taken
afterwards goes through the copies, so it is narrow, too. Where no rule covers an op, its output is sliced instead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import onnx_ir as ir

from .axes import SEQUENCE
from .discovery import Layout
from .emitter import Emitter
from .region import Dim, constant, dims

# Which inputs of a node to narrow, and along which axis, to have its outputs narrow along an axis; None: cannot.
Wants = list[tuple[int, int]]
_RowRule = Callable[[ir.Node, int], "Wants | None"]


def narrow(graph: ir.Graph, layout: Layout) -> dict[ir.Value, ir.Value]:
    """Rewire the classifier to one-row copies of the nodes that only it reads; return the copies by their originals.

    A graph that reads more than the class token is left as it is.
    """
    node = layout.pooled
    if layout.pooling != "class" or node is None or node.inputs[0] is None:
        return {}
    axis = _pooled_axis(node)
    if axis is None:
        return {}
    wanted = _plan(graph, node, axis)
    copies = _copy(graph, wanted)
    if node.inputs[0] in copies:
        node.replace_input_with(0, copies[node.inputs[0]])
        graph.sort()
    return copies


def _pooled_axis(node: ir.Node) -> int | None:
    """Return the axis, counted from the front, along which the classifier's Gather or Slice picks the first row."""
    shape = dims(node.inputs[0]) if node.inputs[0] is not None else None
    if not shape:
        return None
    if node.op_type == "Gather":
        return node.attributes.get_int("axis", 0) % len(shape)
    axes = constant(node.inputs[3]) if len(node.inputs) > 3 else None
    return int(axes.item()) % len(shape) if axes is not None and axes.size == 1 else None


def _plan(graph: ir.Graph, reader: ir.Node, axis: int) -> dict[ir.Node, tuple[int, Wants]]:
    """Choose the nodes to copy, with the axis of their outputs and what they want of their inputs; in forward order."""
    wants: dict[ir.Value, dict[tuple[ir.Node, int], int]] = defaultdict(dict)
    pooled = reader.inputs[0]
    assert pooled is not None
    wants[pooled][reader, 0] = axis
    chosen: dict[ir.Node, tuple[int, Wants]] = {}
    for node in reversed(graph):
        axes = {a for value in node.outputs for a in wants[value].values()}
        rule = _RULES.get(node.op_type) if not node.domain else None
        if rule is None or len(axes) != 1 or not all(_exclusive(value, wants[value]) for value in node.outputs):
            continue
        (out_axis,) = axes
        inputs = rule(node, out_axis)
        if inputs is None:
            continue
        chosen[node] = (out_axis, inputs)
        for index, in_axis in inputs:
            value = node.inputs[index]
            assert value is not None
            wants[value][node, index] = in_axis
    return dict(reversed(chosen.items()))


def _exclusive(value: ir.Value, wants: dict[tuple[ir.Node, int], int]) -> bool:
    """Whether every use of ``value`` wants one row of it."""
    return not value.is_graph_output() and all((use.node, use.idx) in wants for use in value.uses())


def _copy(graph: ir.Graph, plan: dict[ir.Node, tuple[int, Wants]]) -> dict[ir.Value, ir.Value]:
    op = Emitter(graph, prefix="narrow")
    copies: dict[ir.Value, ir.Value] = {}
    slices: dict[tuple[ir.Value, int], ir.Value] = {}
    for node, (out_axis, wanted) in plan.items():
        inputs = list(node.inputs)
        for index, axis in wanted:
            value = node.inputs[index]
            assert value is not None
            if value in copies:
                inputs[index] = copies[value]
                continue
            if (value, axis) not in slices:
                slices[value, axis] = _with_row(op.Slice(value, [0], [1], [axis]).value, value, axis)
            inputs[index] = slices[value, axis]
        if node.op_type == "Reshape":
            inputs[1] = _one_row_target(op, node, out_axis)
        outputs = [ir.Value(name=op.name(str(value.name)), type=value.type) for value in node.outputs]
        graph.append(
            ir.Node("", node.op_type, inputs, list(node.attributes.values()), outputs=outputs, name=op.name("copy"))
        )
        for value, copy in zip(node.outputs, outputs, strict=True):
            copies[value] = _with_row(copy, value, out_axis)
    return copies


def _with_row(copy: ir.Value, original: ir.Value, axis: int) -> ir.Value:
    shape = list(dims(original) or ())
    shape[axis] = 1
    copy.shape = ir.Shape(shape)
    return copy


def _one_row_target(op: Emitter, node: ir.Node, axis: int) -> ir.Value:
    """Return the target shape of a Reshape with a 1 for its rows."""
    target = node.inputs[1]
    assert target is not None
    known = constant(target)
    if known is not None:
        return op.value([1 if i == axis else int(d) for i, d in enumerate(known)])
    rank = len(dims(node.outputs[0]) or ())
    parts = [op.Slice(target, [0], [axis], [0]), [1], op.Slice(target, [axis + 1], [rank], [0])]
    return op.Concat(*parts, axis=0).value


def _aligned(node: ir.Node, axis: int) -> Wants | None:
    """Inputs broadcast to the output: narrow those that have rows along its axis."""
    rank = len(dims(node.outputs[0]) or ())
    wants = []
    for index, value in enumerate(node.inputs):
        shape = dims(value) if value is not None else ()
        if shape is None:
            return None
        own = axis - rank + len(shape)
        if own >= 0 and shape[own] != 1:
            wants.append((index, own))
    return wants


def _first(node: ir.Node, axis: int) -> Wants:
    return [(0, axis)]


def _beside_own_axis(node: ir.Node, axis: int) -> Wants | None:
    """Softmax and LayerNormalization treat rows alike unless they work along them."""
    rank = len(dims(node.outputs[0]) or ())
    own = node.attributes.get_int("axis", -1) % rank
    return _first(node, axis) if axis < own else None


def _matmul(node: ir.Node, axis: int) -> Wants | None:
    shapes = [dims(value) for value in node.inputs if value is not None]
    rank = len(dims(node.outputs[0]) or ())
    if any(shape is None or len(shape) < 2 for shape in shapes) or axis < rank - 2:
        return None
    side = 0 if axis == rank - 2 else 1
    shape = shapes[side]
    assert shape is not None
    return [(side, len(shape) - 2 + side)]


def _transpose(node: ir.Node, axis: int) -> Wants:
    perm = node.attributes.get_ints("perm")
    return [(0, perm[axis])]


def _reshape(node: ir.Node, axis: int) -> Wants | None:
    """Rows stay rows where as many elements come before them on both sides."""
    before, after = dims(node.inputs[0]) if node.inputs[0] is not None else None, dims(node.outputs[0])
    if before is None or after is None:
        return None
    for own, dim in enumerate(before):
        if dim == after[axis] == SEQUENCE and _product(before[:own]) == _product(after[:axis]):
            return [(0, own)]
    return None


def _reduce(node: ir.Node, axis: int) -> Wants | None:
    axes = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    rank = len(dims(node.inputs[0]) or ()) if node.inputs[0] is not None else 0
    if axes is None or not node.attributes.get_int("keepdims", 1) or axis in {int(a) % rank for a in axes}:
        return None
    return _first(node, axis)


def _concat(node: ir.Node, axis: int) -> Wants | None:
    rank = len(dims(node.outputs[0]) or ())
    if node.attributes.get_int("axis") % rank == axis:
        return None
    return [(index, axis) for index in range(len(node.inputs))]


def _split(node: ir.Node, axis: int) -> Wants | None:
    rank = len(dims(node.outputs[0]) or ())
    return None if node.attributes.get_int("axis", 0) % rank == axis else _first(node, axis)


def _slice(node: ir.Node, axis: int) -> Wants | None:
    axes = constant(node.inputs[3]) if len(node.inputs) > 3 else None
    rank = len(dims(node.outputs[0]) or ())
    return None if axes is None or axis in {int(a) % rank for a in axes} else _first(node, axis)


def _gather_elements(node: ir.Node, axis: int) -> Wants:
    """Along its own axis the indices alone are rows (DeBERTa's position-to-content term)."""
    rank = len(dims(node.outputs[0]) or ())
    indices = (1, axis)
    return [indices] if node.attributes.get_int("axis", 0) % rank == axis else [(0, axis), indices]


def _product(shape: tuple[Dim, ...]) -> tuple[int, list[str]] | None:
    """Number of elements as a factor and symbols, so that [4, batch] and [4*batch] compare equal."""
    factor, symbols = 1, []
    for part in (part for dim in shape for part in str(dim).split("*")):
        if part.isdigit():
            factor *= int(part)
        elif part.isidentifier() and part != "None":
            symbols.append(part)
        else:
            return None
    return factor, sorted(symbols)


_ELEMENTWISE = (
    *("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Clip", "Where", "Cast", "Identity"),
    *("Neg", "Abs", "Sqrt", "Exp", "Erf", "Tanh", "Sigmoid", "Relu", "Gelu", "Softplus"),
)

_RULES: dict[str, _RowRule] = {
    **dict.fromkeys(_ELEMENTWISE, _aligned),
    **dict.fromkeys(("Softmax", "LayerNormalization", "SimplifiedLayerNormalization"), _beside_own_axis),
    **dict.fromkeys(("ReduceMean", "ReduceSum"), _reduce),
    "MatMul": _matmul,
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "GatherElements": _gather_elements,
}
