"""From gradients to suspects in one launch, reading the gradients once.

    s_j = ‖g_j‖₂        c_j = (max r − mean_T r) · (max s / mean_T s)        score = max_T c_j,  suspect = its position

where the maxima are over the occurrences of token j's id in T, and the means over all of T (X-GRAAD; the definition is
`kernels/reference.py`). The norms of a text are spread over many programs; whichever of them finishes last scores it.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl

from .launch import FLOATS, check, launch_on
from .segments import Segments

ROWS = 16  # tokens per program
COMPARED = 4096  # pairs of tokens compared at once in search of repeated ids


class TokenScores(NamedTuple):
    """Everything the kernel finds, float32: per row [N] (0 outside the texts), per text [B].

    ``suspect`` (int64) is a position within the text, −1 where there is none. A text whose scored tokens hold a value
    that is not finite is unscorable: its score is NaN and its suspect −1.
    """

    saliency: torch.Tensor
    scores: torch.Tensor
    anomaly: torch.Tensor
    suspect: torch.Tensor


def token_scores(
    gradient: torch.Tensor, received: torch.Tensor, ids: torch.Tensor, table: torch.Tensor, texts: Segments
) -> TokenScores:
    """Score every token of every text.

    Sums are in float32: a gradient whose squares overflow it (beyond 1e19) counts as not finite.

    Args:
        gradient: [N, D] float32, float16 or bfloat16; a padded [B, S, D] is given as [B·S, D].
        received: [N] float32, attention received or any other weight r.
        ids: [N] int64 token ids; ids outside the table are not scored.
        table: [V] bool, true at scored ids.
        texts: where the texts lie among the N rows.

    Raises:
        InputError: a tensor has the wrong device, type, shape or memory order.
        EngineError: the tensors are not on a GPU.
    """
    N, D = gradient.shape if gradient.dim() == 2 else (-1, -1)
    check("gradient", gradient, (N, D), FLOATS, gradient)
    check("received", received, (N,), [torch.float32], gradient)
    check("ids", ids, (N,), [torch.int64], gradient)
    check("table", table, (table.numel(),), [torch.bool], gradient)
    check("texts", texts.starts, (len(texts),), [torch.int32], gradient)
    texts.check("texts", N, len(texts))
    saliency, scores = torch.zeros(2, N, dtype=torch.float32, device=gradient.device)
    anomaly = torch.empty(len(texts), dtype=torch.float32, device=gradient.device)
    suspect = torch.empty(len(texts), dtype=torch.int64, device=gradient.device)
    finished = torch.zeros(len(texts), dtype=torch.int32, device=gradient.device)
    sequence = triton.next_power_of_2(max(texts.longest, 16))
    with launch_on(gradient.device):
        _token_scores[(len(texts), triton.cdiv(max(texts.longest, 1), ROWS))](
            gradient, received, ids, table, texts.starts, texts.lengths,
            saliency, scores, anomaly, suspect, finished, D, table.numel(),
            ROWS=ROWS, COLUMNS=min(triton.next_power_of_2(D), 1024),
            SEQUENCE=sequence, OTHERS=max(COMPARED // sequence, 1),
        )  # fmt: skip
    return TokenScores(saliency, scores, anomaly, suspect)


@triton.jit
def _token_scores(
    gradient, received, ids, table, starts, lengths, saliency, scores, anomaly, suspect, finished, D, V,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, SEQUENCE: tl.constexpr, OTHERS: tl.constexpr,
):  # fmt: skip
    text = tl.program_id(0)
    start = tl.load(starts + text).to(tl.int64)
    length = tl.load(lengths + text)
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    squares = tl.zeros([ROWS], tl.float32)
    for column in range(0, D, COLUMNS):
        d = column + tl.arange(0, COLUMNS)
        inside = (row < length)[:, None] & (d < D)[None, :]
        g = tl.load(gradient + (start + row)[:, None] * D + d[None, :], mask=inside, other=0.0).to(tl.float32)
        squares += tl.sum(g * g, axis=1)
    tl.store(saliency + start + row, tl.sqrt_rn(squares), mask=row < length)
    # All threads' stores come before the count, and the last program's loads after it.
    tl.debug_barrier()
    if tl.atomic_add(finished + text, 1, sem="acq_rel") == tl.num_programs(1) - 1:
        _score_text(
            received + start, ids + start, table, saliency + start, scores + start, anomaly + text, suspect + text,
            length, V, SEQUENCE, OTHERS,
        )  # fmt: skip


@triton.jit
def _score_text(
    received, ids, table, saliency, scores, anomaly, suspect, length, V, SEQUENCE: tl.constexpr, OTHERS: tl.constexpr
):
    j = tl.arange(0, SEQUENCE)
    token, in_t, r, s = _load_tokens(received, ids, table, saliency, j, length, V)
    finite = (tl.abs(r) < float("inf")) & (tl.abs(s) < float("inf"))  # false for NaN
    unscorable = tl.sum((in_t & (finite == 0)).to(tl.int32), axis=0) > 0
    count = tl.maximum(tl.sum(in_t.to(tl.float32), axis=0), 1.0)
    mean_r = tl.sum(r, axis=0) / count
    mean_s = tl.sum(s, axis=0) / count
    highest_r = tl.full([SEQUENCE], float("-inf"), tl.float32)
    highest_s = tl.full([SEQUENCE], float("-inf"), tl.float32)
    for first in range(0, length, OTHERS):
        k = first + tl.arange(0, OTHERS)
        other, other_in_t, other_r, other_s = _load_tokens(received, ids, table, saliency, k, length, V)
        same = (token[:, None] == other[None, :]) & other_in_t[None, :]
        highest_r = tl.maximum(highest_r, tl.max(tl.where(same, other_r[None, :], float("-inf")), axis=1))
        highest_s = tl.maximum(highest_s, tl.max(tl.where(same, other_s[None, :], float("-inf")), axis=1))
    score = tl.where(mean_s > 0, (highest_r - mean_r) * (highest_s / mean_s), 0.0)
    score = tl.where(in_t, tl.where(unscorable, float("nan"), score), 0.0)
    tl.store(scores + j, score, mask=j < length)
    candidates = tl.where(in_t & (unscorable == 0), score, float("-inf"))
    top = tl.max(candidates, axis=0)
    has_suspect = top > float("-inf")
    tl.store(anomaly, tl.where(unscorable, float("nan"), tl.where(has_suspect, top, 0.0)))
    tl.store(suspect, tl.where(has_suspect, tl.argmax(candidates, axis=0), -1).to(tl.int64))


@triton.jit
def _load_tokens(received, ids, table, saliency, j, length, V):
    """Ids, membership of T, r and s at positions j; r and s are 0 outside T."""
    token = tl.load(ids + j, mask=j < length, other=-1)
    in_t = tl.load(table + token, mask=(token >= 0) & (token < V), other=0) != 0
    r = tl.load(received + j, mask=in_t, other=0.0)
    s = tl.load(saliency + j, mask=in_t, other=0.0, cache_modifier=".cg")  # written by other programs: not through L1
    return token, in_t, r, s
