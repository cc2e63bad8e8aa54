"""Reverse-mode differentiation of an ONNX graph, by appending to it the nodes that compute the gradient.

The vector-Jacobian product: given a cotangent ȳ of a value y, the cotangent x̄ = ȳ · ∂y/∂x of a value x it was
computed from. Nodes on a path from x to y are visited backwards; each op type's rule (`registry`, `rules/`) turns the
cotangents of the node's outputs into those of its inputs, and cotangents that meet at a value are added.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from ..errors import ExportError
from . import rules as rules
from .emitter import Term
from .region import Region, dims
from .registry import rule_for
from .rules.einsum import correct_sizes
from .step import Step

_IR_VERSION = 10  # of the throw-away model that shape inference wants; it changes nothing in the graph

_OLDEST = 13  # opset that the rules are written for: axes became an input of ReduceSum, Softmax works on one axis

_DIFFERENTIABLE = (
    None,  # not known even after inference: left to the op's rule
    ir.DataType.FLOAT,
    ir.DataType.DOUBLE,
    ir.DataType.FLOAT16,
    ir.DataType.BFLOAT16,
)

# Ops whose derivative is zero wherever it exists.
_FLAT = frozenset(
    [
        *("Shape", "Size", "ArgMax", "ArgMin", "NonZero", "OneHot", "Range", "EyeLike", "ConstantOfShape"),
        *("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "And", "Or", "Xor", "IsNaN", "IsInf"),
        *("Floor", "Ceil", "Round", "Sign"),
    ]
)


@overload
def differentiate(
    graph: ir.Graph, y: ir.Value, x: ir.Value, *, seed: ir.Value | None = None, region: Region | None = None
) -> ir.Value: ...
@overload
def differentiate(
    graph: ir.Graph, y: ir.Value, x: Sequence[ir.Value], *, seed: ir.Value | None = None, region: Region | None = None
) -> tuple[ir.Value, ...]: ...
def differentiate(
    graph: ir.Graph,
    y: ir.Value,
    x: ir.Value | Sequence[ir.Value],
    *,
    seed: ir.Value | None = None,
    region: Region | None = None,
) -> ir.Value | tuple[ir.Value, ...]:
    """Append the nodes that compute the cotangent of `x` and return it, shaped like `x` (one per value of `x`).

    graph: the forward graph, its nodes sorted, of opset 13 or newer (convert an older one first, for example with
        `onnx.version_converter.convert_version`). Dtypes and shapes that it lacks are inferred; where a shape remains
        unknown the nodes appended compare sizes while the graph runs. Empty axes, such as a batch of no texts, are
        covered from opset 14 on: 13 cannot reshape to a shape that holds a 0.
    y: any float value of `graph`. seed: the cotangent of `y`, shaped like it; default ones, so that the result is the
        gradient of the sum of `y`. To differentiate each row's own entry of logits [batch, classes], seed with its
        one-hot [batch, classes].
    region: where the nodes go (see `Region`); default: the end of `graph`.

    Constants get no cotangent, and the forward graph stays as it is except that a normalisation or Split node may
    gain the optional outputs that its gradient reuses. Raises `ExportError` where the opset is older than 13, where a
    value of `x` holds no floats (as the indices of a Gather do), where an op on a path has no rule (the message names
    the node and says how to add one), where a rule does not cover a use, or where `y` does not depend on `x`.
    """
    targets = [x] if isinstance(x, ir.Value) else list(x)
    _require_opset(graph)
    _annotate(graph)
    _require_floats(targets)
    correct_sizes(graph, y)
    active = _dependent_values(graph, targets)
    if y not in active:
        names = ", ".join(f"'{value.name}'" for value in targets)
        raise ExportError(f"cannot differentiate '{y.name}': it does not depend on {names} in a differentiable way")
    path = [(node, rule_for(node)) for node in _nodes_between(graph, active, y)]
    region = region or Region(graph)
    parts = {y: [region.full(1.0, y) if seed is None else region.op.term(seed)]}
    for node, rule in reversed(path):
        dys = [_total(parts, output, region) for output in node.outputs]
        if all(dy is None for dy in dys):
            continue
        step = Step(node, dys, region)
        for i, value in enumerate(node.inputs):
            if value is None or value not in active:
                continue
            dx = rule.pullback(step, i)
            if rule.broadcasts:
                dx = region.sum_to(dx, dims(node.outputs[0]), value)
            parts.setdefault(value, []).append(dx)
    results = []
    for value in targets:
        result = (_total(parts, value, region) or region.full(0.0, value)).value
        result.shape = result.shape or value.shape
        results.append(result)
    return results[0] if isinstance(x, ir.Value) else tuple(results)


def _require_opset(graph: ir.Graph) -> None:
    opset = graph.opset_imports.get("", _OLDEST)
    if opset < _OLDEST:
        raise ExportError(
            f"cannot differentiate a graph of opset {opset}: the least opset is {_OLDEST}; convert the model first, "
            f"e.g. with onnx.version_converter.convert_version(model, {_OLDEST})"
        )


def _require_floats(targets: Sequence[ir.Value]) -> None:
    for value in targets:
        if value.dtype not in _DIFFERENTIABLE:
            raise ExportError(
                f"cannot differentiate by '{value.name}': it holds {value.dtype}, which cannot vary smoothly; "
                "name a value of floats"
            )


def _annotate(graph: ir.Graph) -> None:
    """Infer dtypes and shapes, if some are missing."""
    if all(output.dtype is not None and output.shape is not None for node in graph for output in node.outputs):
        return
    opset = graph.opset_imports[""]
    try:
        # Opset 13 means the same as 14, but its shape inference does not see through computed targets of Reshape.
        graph.opset_imports[""] = max(opset, 14)
        ShapeInferencePass(strict_mode=False)(ir.Model(graph, ir_version=_IR_VERSION))
    finally:
        graph.opset_imports[""] = opset


def _dependent_values(graph: ir.Graph, targets: Sequence[ir.Value]) -> set[ir.Value]:
    """Return the values that vary smoothly with `targets`, which they include."""
    active = set(targets)
    for node in graph:
        if _carries(node, active):
            active.update(output for output in node.outputs if output.dtype in _DIFFERENTIABLE)
    return active


def _nodes_between(graph: ir.Graph, active: set[ir.Value], y: ir.Value) -> list[ir.Node]:
    """Return the nodes that compute `y` from active values, in forward order.

    What makes a target out of values that are not active is not among them, and needs no rule.
    """
    needed, nodes = {y}, []
    for node in reversed(graph):
        if _carries(node, active) and any(output in needed and output in active for output in node.outputs):
            needed.update(_reads(node))
            nodes.append(node)
    return nodes[::-1]


def _carries(node: ir.Node, active: set[ir.Value]) -> bool:
    """Tell whether the outputs of `node` vary smoothly with active values."""
    return node.op_type not in _FLAT and any(value in active for value in _reads(node))


def _reads(node: ir.Node) -> Iterator[ir.Value]:
    """Yield the inputs of `node` and the outer values that its subgraphs use."""
    yield from (value for value in node.inputs if value is not None)
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            for inner in attribute.as_graph():
                yield from _reads(inner)
            yield from attribute.as_graph().outputs


def _total(parts: dict[ir.Value, list[Term]], value: ir.Value, region: Region) -> Term | None:
    """Add up the cotangents that met at `value`; None where there are none."""
    if value not in parts:
        return None
    if len(parts[value]) > 1:
        parts[value] = [region.op.Sum(*parts[value]) if len(parts[value]) > 2 else region.op.Add(*parts[value])]
    return parts[value][0]
