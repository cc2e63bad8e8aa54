"""The definitions of every score, in NumPy and float64; all other implementations are tested against these.

Axes: L layers, B texts, H heads, S tokens, D embedding size. ``mask`` is true at real (unpadded) tokens; ``scored`` is
true at the tokens of T, the real tokens that the vocabulary table scores (see :func:`scored_tokens`).

**Unscorable texts.** A text with NaN or infinity among the attention or saliency of its scored tokens has token scores
NaN, an anomaly score of NaN and suspect −1. ``score < threshold`` is then false, so such a text never passes silently.

Source: X-GRAAD (attention × gradient, per token). Different from its published code: padded queries do not count, so
that a text's scores do not depend on the padding of its batch.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Real: TypeAlias = NDArray[np.floating[Any]]
Ints: TypeAlias = NDArray[np.integer[Any]]
Bools: TypeAlias = NDArray[np.bool_]
Scores: TypeAlias = NDArray[np.float64]


def scored_tokens(ids: Ints, mask: Bools, table: Bools) -> Bools:
    """T as a mask [B, S]: real tokens whose id the vocabulary ``table`` [V] scores."""
    return mask.astype(np.bool_) & table[ids]


def attention_received(probabilities: Real, mask: Bools) -> Scores:
    """r_j = 1/(L·H) Σ_l Σ_h Σ_{i real} P[l, h, i, j], so Σ_j r_j = n; 0 at padding.

    Args:
        probabilities: P [L, B, H, S, S], rows are queries; each real row sums to 1 over the real keys.
        mask: [B, S].
    """
    real = mask.astype(np.bool_)
    pairs = real[:, :, None] & real[:, None, :]
    kept = np.where(pairs[None, :, None], probabilities, 0.0)
    return np.asarray(kept.mean(axis=(0, 2), dtype=np.float64).sum(axis=1))


def class_attention(probabilities: Real, mask: Bools) -> Scores:
    """a_j = 1/H Σ_h P[L, h, 0, j]: what the class token (position 0) of the last layer looks at; 0 at padding.

    Shapes as in :func:`attention_received`. Models without a class token use the attention received in the last layer,
    divided by n, instead.
    """
    return class_attention_by_layer(probabilities[-1:], mask)[:, 0]


def class_attention_by_layer(probabilities: Real, mask: Bools) -> Scores:
    """a[b, l, j] = 1/H Σ_h P[l, h, 0, j], [B, L, S]: :func:`class_attention` of each layer, the first layer first."""
    rows = probabilities[:, :, :, 0, :].mean(axis=2, dtype=np.float64).swapaxes(0, 1)
    return np.where(mask.astype(np.bool_)[:, None], rows, 0.0)


def saliency(gradient: Real, mask: Bools) -> Scores:
    """s_j = ‖∂z_ŷ/∂e_j‖₂ from the ``gradient`` [B, S, D] of each text's own predicted logit; [B, S], 0 at padding."""
    norm = np.sqrt(np.square(gradient.astype(np.float64)).sum(axis=-1))
    return np.where(mask.astype(np.bool_), norm, 0.0)


def token_scores(received: Real, saliency: Real, ids: Ints, scored: Bools) -> Scores:
    """c_j = (r_j − mean_T r) · (s_j / mean_T s) for j in T, 0 elsewhere; [B, S].

    Means are over all occurrences in T. A token id that occurs more than once has, at each of its occurrences, the
    largest r and the largest s among them. Where mean_T s = 0 no token moved the answer: every score is 0. Texts with a
    value in T that is not finite are unscorable: NaN over T.
    """
    r, s = received.astype(np.float64), saliency.astype(np.float64)
    finite = np.where(scored, np.isfinite(r) & np.isfinite(s), True).all(axis=1, keepdims=True)
    usable = scored & finite
    same = (ids[:, :, None] == ids[:, None, :]) & usable[:, None, :]
    highest_r = np.where(same, r[:, None, :], -np.inf).max(axis=2)
    highest_s = np.where(same, s[:, None, :], -np.inf).max(axis=2)
    mean_r, mean_s = _mean(r, usable), _mean(s, usable)
    with np.errstate(divide="ignore", invalid="ignore"):  # the discarded branches of `where`
        product = (highest_r - mean_r) * (highest_s / mean_s)
    scores = np.where(usable & (mean_s > 0), product, 0.0)
    return np.where(scored & ~finite, np.nan, scores)


def anomaly(scores: Real, scored: Bools) -> tuple[Scores, NDArray[np.int64]]:
    """The largest token score of each text [B], and the first position that has it [B].

    0 and −1 where T is empty; NaN and −1 where the text is unscorable.
    """
    candidates = np.where(scored, scores, -np.inf)
    unscorable = np.isnan(candidates).any(axis=1)
    empty = ~scored.any(axis=1)
    score = np.where(empty, 0.0, candidates.max(axis=1))
    suspect = np.where(empty | unscorable, -1, candidates.argmax(axis=1))
    return score.astype(np.float64), suspect.astype(np.int64)


def bound(received: Real, scored: Bools) -> Scores:
    """(max_T r − mean_T r) · |T|: an upper bound [B] of the anomaly score that needs no gradient; 0 where T is empty.

    Proof: s ≥ 0, so any s_k (also one taken from another occurrence) is at most Σ_T s = |T| · mean_T s, and no r_k is
    above max_T r. It is the least bound that r alone allows: the saliency that is zero but at the token of the largest
    r attains it. A tighter one must know something about the gradient, first of all a lower limit of Σ_T s.
    """
    r = received.astype(np.float64)
    highest = np.where(scored, r, -np.inf).max(axis=1)
    excess = np.where(scored.any(axis=1), highest - _mean(r, scored)[:, 0], 0.0)
    return np.asarray(excess * scored.sum(axis=1))


def _mean(values: Scores, where: Bools) -> Scores:
    """Mean along S over the chosen positions, kept as [B, 1]; 0 where none is chosen."""
    total = np.where(where, values, 0.0).sum(axis=1, keepdims=True)
    return np.asarray(total / np.maximum(where.sum(axis=1, keepdims=True), 1))
