"""Reduces attention softmaxes to per-token values inside the graph, so that no [batch, heads, S, S] tensor leaves it.

Definitions: `kernels/reference.py`. Only real queries count, so padding does not change a text's values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from .attention import AttentionLayer
from .axes import BATCH, SEQUENCE
from .discovery import Layout
from .emitter import Emitter, Operand, Term
from .region import dims


def attention_received(op: Emitter, layout: Layout, layers: Sequence[int]) -> ir.Value:
    """r_j = 1/(L·H) Σ_l Σ_h Σ_{i real} P[l, h, i, j] over the chosen ``layers``, so Σ_j r_j = n; [batch, sequence]."""
    real = op.Cast(layout.attention_mask, to=ir.DataType.FLOAT)
    weights = [layout.attention[i].weights for i in layers]
    queries = op.Cast(op.Unsqueeze(layout.attention_mask, [1, 2]), to=weights[0].dtype or ir.DataType.FLOAT)
    # A product with the mask as a row vector sums over the real queries of each head.
    per_layer = [op.MatMul(queries, _by_head(op, layout.attention[i], w)) for i, w in zip(layers, weights, strict=True)]
    total = single(op, per_layer[0] if len(layers) == 1 else op.Sum(*per_layer))
    return per_token(op.ReduceMean(total, [1, 2], keepdims=0) * real / len(layers))


def class_attention(op: Emitter, layout: Layout, narrowed: Mapping[ir.Value, ir.Value]) -> ir.Value:
    """a_j = 1/H Σ_h P[L, h, q, j] with q the position that the classifier reads: float [batch, sequence].

    Where it reads all positions there is no such row, and a_j = r_j / n of the last layer stands for it.

    Args:
        narrowed: one-row copies of forward values (see `narrowing`); a copy of the last softmax is the row itself.
    """
    row = _row(op, layout, narrowed, len(layout.attention) - 1)
    return per_token(op.ReduceMean(single(op, row), [1, 2], keepdims=0) * _share(op, layout))


def class_attention_by_layer(op: Emitter, layout: Layout, narrowed: Mapping[ir.Value, ir.Value]) -> ir.Value:
    """:func:`class_attention` of every layer, the first one first: float [batch, layers, sequence]."""
    rows = [_row(op, layout, narrowed, layer) for layer in range(len(layout.attention))]
    mean = op.ReduceMean(single(op, op.Concat(*rows, axis=2)), [1], keepdims=0)
    value = (mean * op.Unsqueeze(_share(op, layout), [1])).value
    value.shape = ir.Shape([BATCH, len(layout.attention), SEQUENCE])
    return value


def last_layer(op: Emitter, by_layer: ir.Value) -> ir.Value:
    """That of the last layer out of that of every layer."""
    return per_token(op.Gather(by_layer, np.array(-1), axis=1))


def single(op: Emitter, value: Operand) -> Term:
    """Return ``value`` in single precision, in which scores are made whatever the classifier computes in."""
    term = op.term(value)
    return term if term.value.dtype == ir.DataType.FLOAT else op.Cast(term, to=ir.DataType.FLOAT)


def per_token(term: Term) -> ir.Value:
    """Return the value of ``term``, annotated as [batch, sequence]."""
    term.value.shape = ir.Shape([BATCH, SEQUENCE])
    return term.value


def _by_head(op: Emitter, layer: AttentionLayer, weights: ir.Value) -> Term:
    """Give attention weights four axes, where a model folds its heads into the batch."""
    if len(dims(weights) or ()) == 4:
        return op.term(weights)
    return op.Reshape(weights, op.Concat([-1, layer.heads], op.Shape(weights, start=1), axis=0))


def _row(op: Emitter, layout: Layout, narrowed: Mapping[ir.Value, ir.Value], index: int) -> Term:
    """P[l, h, q, :] by head, [batch, heads, 1, sequence]; a sum over real queries where the classifier reads all."""
    layer = layout.attention[index]
    if layer.weights in narrowed:
        return _by_head(op, layer, narrowed[layer.weights])
    weights = _by_head(op, layer, layer.weights)
    if layout.pooling == "class":
        return op.Slice(weights, [0], [1], [2])
    kind = layer.weights.dtype or ir.DataType.FLOAT
    real = op.Cast(layout.attention_mask, to=ir.DataType.FLOAT)
    queries = op.Unsqueeze(real, [1, 2]) if layout.pooling == "mean" else _last_token(op, real)
    return op.MatMul(op.Cast(queries, to=kind), weights)


def _share(op: Emitter, layout: Layout) -> Term:
    """What a row is multiplied by: 1 at real tokens, 1/n where it is a sum over n queries; [batch, sequence]."""
    real = op.Cast(layout.attention_mask, to=ir.DataType.FLOAT)
    return real / op.ReduceSum(real, [1], keepdims=1) if layout.pooling == "mean" else real


def _last_token(op: Emitter, real: Term) -> Term:
    """Mark the last real token of each text: bool [batch, 1, 1, sequence]."""
    positions = op.CumSum(real, np.array(1)) * real
    return op.Unsqueeze(op.Equal(positions, op.ReduceMax(positions, [1], keepdims=1)), [1, 2])
