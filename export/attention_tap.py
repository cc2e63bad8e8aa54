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


def class_attention(
    op: Emitter, layout: Layout, narrowed: Mapping[ir.Value, ir.Value], layer: int | None = None
) -> ir.Value:
    """a_j = 1/H Σ_h P[l, h, q, j] with q the position that the classifier reads: float [batch, sequence].

    Where it reads all positions there is no such row, and a_j = r_j / n of the layer stands for it.

    Args:
        narrowed: one-row copies of forward values (see `narrowing`); a copy of the last softmax is the row itself.
        layer: l, from 0; None is the last.
    """
    index = len(layout.attention) - 1 if layer is None else layer
    attention = layout.attention[index]
    real = op.Cast(layout.attention_mask, to=ir.DataType.FLOAT)
    if layout.pooling == "mean":
        received = op.term(attention_received(op, layout, [index]))
        return per_token(received / op.ReduceSum(real, [1], keepdims=1))
    if attention.weights in narrowed:
        row = _by_head(op, attention, narrowed[attention.weights])
    elif layout.pooling == "class":
        row = op.Slice(_by_head(op, attention, attention.weights), [0], [1], [2])
    else:
        weights = _by_head(op, attention, attention.weights)
        row = op.MatMul(op.Cast(_last_token(op, real), to=weights.value.dtype or ir.DataType.FLOAT), weights)
    return per_token(op.ReduceMean(single(op, row), [1, 2], keepdims=0) * real)


def class_attention_by_layer(
    op: Emitter, layout: Layout, narrowed: Mapping[ir.Value, ir.Value], last: ir.Value
) -> ir.Value:
    """:func:`class_attention` of every layer, the first one first: float [batch, layers, sequence].

    Args:
        last: that of the last layer.
    """
    earlier = [class_attention(op, layout, narrowed, layer) for layer in range(len(layout.attention) - 1)]
    value = op.Concat(*(op.Unsqueeze(row, [1]) for row in (*earlier, last)), axis=1).value
    value.shape = ir.Shape([BATCH, len(layout.attention), SEQUENCE])
    return value


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


def _last_token(op: Emitter, real: Term) -> Term:
    """Mark the last real token of each text: bool [batch, 1, 1, sequence]."""
    positions = op.CumSum(real, np.array(1)) * real
    return op.Unsqueeze(op.Equal(positions, op.ReduceMax(positions, [1], keepdims=1)), [1, 2])
