"""Token scores, the anomaly score, the suspect and their bound as ONNX nodes: `kernels/reference.py` in the graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from .attention_tap import per_token, single
from .axes import BATCH
from .discovery import Layout
from .emitter import Emitter, Operand, Term

_LOWEST = float(np.finfo(np.float32).min)
_NAN = np.array(np.nan, np.float32)


@dataclass(frozen=True)
class Scores:
    """Values in the graph: token scores [batch, sequence], anomaly score [batch], suspect's position int64 [batch]."""

    tokens: ir.Value
    anomaly: ir.Value
    suspect: ir.Value


def scored_tokens(op: Emitter, layout: Layout, table: NDArray[np.bool_]) -> ir.Value:
    """T: bool [batch, sequence], the real tokens whose id the vocabulary ``table`` scores."""
    scored = op.Gather(op.initializer(ir.tensor(table), "scored_table"), layout.input_ids, axis=0)
    return per_token(op.And(scored, op.Cast(layout.attention_mask, to=ir.DataType.BOOL)))


def saliency(op: Emitter, layout: Layout, gradient: ir.Value) -> ir.Value:
    """s_j = ‖gradient_j‖₂, 0 at padding: float [batch, sequence]."""
    norm = op.ReduceL2(single(op, gradient), [-1], keepdims=0)
    return per_token(op.Where(op.Cast(layout.attention_mask, to=ir.DataType.BOOL), norm, 0.0))


def predicted_class(op: Emitter, layout: Layout) -> ir.Value:
    """One-hot of the largest logit, the cotangent that picks each text's own prediction: float [batch, classes]."""
    best = op.ArgMax(layout.logits, axis=-1, keepdims=0)
    onehot = op.OneHot(best, [layout.classes], np.array([0, 1], np.float32), axis=-1)
    assert layout.logits.dtype is not None
    onehot.value.dtype = layout.logits.dtype
    return onehot.value


def score(op: Emitter, ids: ir.Value, scored: ir.Value, received: ir.Value, salient: ir.Value) -> Scores:
    """c_j = (r_j − mean_T r) · (s_j / mean_T s), each repeated id at its largest r and largest s, and their maximum.

    A text with a value in T that is not finite is unscorable: NaN over T, NaN, −1.
    """
    both = op.Add(received, salient)
    finite = op.Equal(both - both, 0.0)  # ∞ − ∞ and NaN − NaN are NaN, which equals nothing
    broken = op.Cast(op.And(scored, op.Not(finite)), to=ir.DataType.FLOAT)
    unscorable = op.Greater(op.ReduceMax(broken, [1], keepdims=1), 0.0)
    usable = op.And(scored, op.Not(unscorable))

    same_id = op.Equal(op.Unsqueeze(ids, [2]), op.Unsqueeze(ids, [1]))
    same = op.And(same_id, op.Unsqueeze(usable, [1]))
    highest_r, highest_s = (
        op.ReduceMax(op.Where(same, op.Unsqueeze(value, [1]), _LOWEST), [2], keepdims=0)
        for value in (received, salient)
    )
    mean_r, mean_s = _mean(op, received, usable), _mean(op, salient, usable)
    moved = op.Greater(mean_s, 0.0)
    product = (highest_r - mean_r) * (highest_s / op.Where(moved, mean_s, 1.0))
    tokens = op.Where(op.And(usable, moved), product, 0.0)

    candidates = op.Where(usable, tokens, _LOWEST)
    any_usable = op.Greater(_count(op, usable), 0.0)
    anomaly = op.Where(any_usable, op.ReduceMax(candidates, [1], keepdims=1), 0.0)
    suspect = op.Where(any_usable, op.ArgMax(candidates, axis=1, keepdims=1), -1)
    return Scores(
        per_token(op.Where(op.And(scored, unscorable), _NAN, tokens)),
        _per_text(op.Where(unscorable, _NAN, anomaly)),
        _per_text(suspect),
    )


def bound(op: Emitter, scored: ir.Value, received: ir.Value) -> ir.Value:
    """(max_T r − mean_T r) · |T|: no anomaly score exceeds it, whatever the gradient is; float [batch]."""
    highest = op.ReduceMax(op.Where(scored, received, _LOWEST), [1], keepdims=1)
    count = _count(op, scored)
    excess = op.Where(op.Greater(count, 0.0), highest - _mean(op, received, scored), 0.0)
    return _per_text(excess * count)


def bound_without_attention(op: Emitter, layout: Layout, scored: ir.Value) -> ir.Value:
    """n · |T|, where even the attention is not to be computed: no r_j exceeds n; float [batch]."""
    return _per_text(_count(op, op.Cast(layout.attention_mask, to=ir.DataType.BOOL)) * _count(op, scored))


def _count(op: Emitter, where: Operand) -> Term:
    """Return how many tokens are chosen, kept as [batch, 1]."""
    return op.ReduceSum(op.Cast(where, to=ir.DataType.FLOAT), [1], keepdims=1)


def _mean(op: Emitter, values: Operand, where: Operand) -> Term:
    """Return the mean over the chosen tokens, kept as [batch, 1]; 0 where none is chosen."""
    return op.ReduceSum(op.Where(where, values, 0.0), [1], keepdims=1) / op.Max(_count(op, where), 1.0)


def _per_text(column: Term) -> ir.Value:
    """Return [batch, 1] as a value annotated [batch]."""
    value = column.op.Squeeze(column, [1]).value
    value.shape = ir.Shape([BATCH])
    return value
