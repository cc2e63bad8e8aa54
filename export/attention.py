"""Finds the attention of every layer: its softmax, what multiplies the values, and the hidden state that it reads."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from ..errors import ExportError
from .axes import BATCH, SEQUENCE, fold
from .region import dims, is_constant

# What may stand between an attention softmax and its product with the values: masks, dropout, a small number against
# zeros, rows made to sum to 1 again. Whether rows still do is seen when the graph is validated.
_SAME_WEIGHTS = frozenset({"Cast", "Identity", "Where", "Dropout", "Mul", "Div", "Add", "Sub", "Clip", "Max", "Min"})


@dataclass(frozen=True)
class AttentionLayer:
    """One layer's attention.

    Attributes:
        softmax: the attention softmax itself.
        weights: what multiplies the values, float [batch, heads, sequence, sequence] or [heads*batch, sequence,
            sequence]; rows are queries.
        heads: number of heads.
        input: the hidden state that the layer reads, float [batch, sequence, hidden].
    """

    softmax: ir.Node
    weights: ir.Value
    heads: int
    input: ir.Value


def find_attention(start: ir.Value, path: list[ir.Node]) -> tuple[AttentionLayer, ...]:
    """Find the layers on ``path``, the nodes from the embeddings ``start`` to the logits, in forward order.

    Raises:
        ExportError: there are none, they are fused, differ in their heads, or are not their softmax alone.
    """
    for node in path:
        if "Attention" in node.op_type:
            raise ExportError(
                f"node '{node.name}' is the fused op {node.op_type}, which hides its softmax: export the model again "
                "unoptimised, with eager attention"
            )
    cuts, computed = _cuts(start, path), {start, *(value for node in path for value in node.outputs)}
    layers: list[AttentionLayer] = []
    for position, node in enumerate(path):
        if node.op_type != "Softmax" or not _between_tokens(node.outputs[0]):
            continue
        weights = _weights(node, computed)
        shape = dims(weights) or ()
        heads = shape[1] if len(shape) == 4 else fold(shape[0])
        if not isinstance(heads, int):
            raise ExportError(
                f"cannot tell the number of heads of softmax '{node.name}' from its shape {weights.shape}"
            )
        layers.append(AttentionLayer(node, weights, heads, _input(path[:position], computed, cuts)))
    if not layers:
        raise ExportError(
            "found no softmax over [..., sequence, sequence] that multiplies values: no attention to read"
        )
    if len({layer.heads for layer in layers}) > 1:
        raise ExportError(
            f"the layers have different numbers of heads, {', '.join(str(layer.heads) for layer in layers)}: expected "
            "one number, such models are not supported"
        )
    return tuple(layers)


def _between_tokens(value: ir.Value) -> bool:
    shape = dims(value) or ()
    return len(shape) in (3, 4) and shape[-2:] == (SEQUENCE, SEQUENCE)


def _weights(softmax: ir.Node, computed: set[ir.Value]) -> ir.Value:
    """Return what multiplies the values: looks through masking and reshaping."""
    value, own = softmax.outputs[0], {softmax.outputs[0]}
    while not _multiplies(value):
        following = [node for node, _ in value.uses() if node.op_type in _SAME_WEIGHTS]
        if not following:
            readers = ", ".join(sorted({f"{node.op_type} ('{node.name}')" for node, _ in value.uses()}))
            raise ExportError(
                f"softmax '{softmax.name}' looks like attention, but goes into {readers} before it multiplies values: "
                "expected attention that is its softmax, such models are not supported"
            )
        node = following[0]
        others = {factor for factor in node.inputs if factor is not None} - own
        if any(other in computed and not _sums_of(other, own) for other in others):
            raise ExportError(
                f"softmax '{softmax.name}' is changed by what the model computes from the text (node '{node.name}', "
                f"{node.op_type}) before it reaches the values: expected attention that is its softmax, such models "
                "are not supported"
            )
        value = node.outputs[0]
        own.add(value)
    return value


def _sums_of(value: ir.Value, weights: set[ir.Value]) -> bool:
    """Whether ``value`` is the sum of each row of the weights, perhaps kept from 0, by which they are divided."""
    node = value.producer()
    while node is not None and node.op_type in ("Add", "Clip", "Max", "Unsqueeze", "Expand"):
        changing = [v for v in node.inputs if v is not None and not is_constant(v)]
        node = changing[0].producer() if changing else None
    return node is not None and node.op_type == "ReduceSum" and node.inputs[0] in weights


def _multiplies(value: ir.Value) -> bool:
    """Whether ``value``, perhaps reshaped, is the left factor of a matrix product."""
    reshaped = [node.outputs[0] for node, _ in value.uses() if node.op_type == "Reshape"]
    return any(node.op_type == "MatMul" and i == 0 for v in (value, *reshaped) for node, i in v.uses())


def _input(before: list[ir.Node], computed: set[ir.Value], cuts: list[tuple[int, ir.Value]]) -> ir.Value:
    """Return the last hidden state before a softmax from which queries and keys are still to be made by weights.

    Without a residual connection, the product that makes them all at once is a hidden state as well.
    """
    products = [
        index
        for index, node in enumerate(before)
        if node.op_type in ("MatMul", "Gemm", "Einsum") and sum(value in computed for value in node.inputs) == 1
    ]
    last = max(products, default=len(before))
    return [value for index, value in cuts if index < last][-1]


def _cuts(start: ir.Value, path: list[ir.Node]) -> list[tuple[int, ir.Value]]:
    """Hidden states [batch, sequence, width] that everything on the path passes through, with their positions."""
    inside = {value for node in path for value in node.outputs}
    last_use = {value: index for index, node in enumerate(path) for value in node.inputs if value is not None}
    found, open_until = [(-1, start)], last_use[start]
    for index, node in enumerate(path):
        value = node.outputs[0]
        shape = dims(value) or ()
        if open_until <= index and len(shape) == 3 and shape[:2] == (BATCH, SEQUENCE):
            found.append((index, value))
        open_until = max([open_until, *(last_use[v] for v in node.outputs if v in last_use and v in inside)])
    return found
