"""From gradients to suspects in one launch, reading the gradients once.

    s_j = ‖g_j‖₂        c_j = (max r − mean_T r) · (max s / mean_T s)        score = max_T c_j,  suspect = its position

where the maxima are over the occurrences of token j's id in T, and the means over all of T (X-GRAAD; the definition is
`kernels/reference.py`). The norms of a text are spread over many programs; whichever of them finishes last scores it,
with the text's ids sorted, so that occurrences are neighbours and nothing is compared pair by pair. A text's programs
lie side by side in the grid: it is scored while later ones are still read.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl

from .launch import FLOATS, check, launch_on
from .segments import Segments

# On an H100, 256 texts of 512 tokens, D = 768 in float16: 93 µs, 2.2 TB/s; eight rows or all columns at once, 102 µs.
ROWS = 16  # tokens per program
COLUMNS = 256  # values of each that are read at once


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
        gradient: [N, D] float32, float16 or bfloat16, D 1 at least; a padded [B, S, D] is given as [B·S, D].
        received: [N] float32, attention received or any other weight r.
        ids: [N] int64 token ids; ids outside the table are not scored.
        table: [V] bool, true at scored ids.
        texts: where the texts lie among the N rows.

    Raises:
        InputError: a tensor has the wrong device, type, shape or memory order.
        EngineError: the tensors are not on a GPU.
    """
    N, D = gradient.shape if gradient.dim() == 2 else (-1, -1)
    check("gradient", gradient, (N, D or 1), FLOATS, gradient)
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
    programs = triton.cdiv(max(texts.longest, 1), ROWS)  # of one text
    with launch_on(gradient.device):
        _token_scores[(len(texts) * programs,)](
            gradient, received, ids, table, texts.starts, texts.lengths,
            saliency, scores, anomaly, suspect, finished, programs, D, table.numel(),
            ROWS=ROWS, COLUMNS=min(triton.next_power_of_2(D), COLUMNS),
            SEQUENCE=sequence, WIDE=(table.numel() + 1) * sequence > 2**31,
        )  # fmt: skip
    return TokenScores(saliency, scores, anomaly, suspect)


@triton.jit
def _token_scores(
    gradient, received, ids, table, starts, lengths, saliency, scores, anomaly, suspect, finished, programs, D, V,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, SEQUENCE: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    text = tl.program_id(0) // programs
    start = tl.load(starts + text).to(tl.int64)
    length = tl.load(lengths + text)
    row = tl.program_id(0) % programs * ROWS + tl.arange(0, ROWS)
    squares = tl.zeros([ROWS], tl.float32)
    for column in range(0, D, COLUMNS):
        d = column + tl.arange(0, COLUMNS)
        inside = (row < length)[:, None] & (d < D)[None, :]
        g = tl.load(gradient + (start + row)[:, None] * D + d[None, :], mask=inside, other=0.0).to(tl.float32)
        squares += tl.sum(g * g, axis=1)
    tl.store(saliency + start + row, tl.sqrt_rn(squares), mask=row < length)
    # All threads' stores come before the count, and the last program's loads after it.
    tl.debug_barrier()
    if tl.atomic_add(finished + text, 1, sem="acq_rel") == programs - 1:
        _score_text(
            received + start, ids + start, table, saliency + start, scores + start, anomaly + text, suspect + text,
            length, V, SEQUENCE, WIDE,
        )  # fmt: skip


@triton.jit
def _score_text(
    received, ids, table, saliency, scores, anomaly, suspect, length, V, SEQUENCE: tl.constexpr, WIDE: tl.constexpr
):
    j = tl.arange(0, SEQUENCE)
    token, in_t, r, s = _load_tokens(received, ids, table, saliency, j, length, V)
    finite = (tl.abs(r) < float("inf")) & (tl.abs(s) < float("inf"))  # false for NaN
    unscorable = tl.sum((in_t & (finite == 0)).to(tl.int32), axis=0) > 0
    count = tl.maximum(tl.sum(in_t.to(tl.float32), axis=0), 1.0)
    mean_r = tl.sum(r, axis=0) / count
    mean_s = tl.sum(s, axis=0) / count
    # Keys hold id and position, so equal ids become neighbours in their order; what is not in T comes last.
    group = tl.where(in_t, token, V)
    if not WIDE:  # sorted faster in 32 bits
        group = group.to(tl.int32)
    key = tl.sort(group * SEQUENCE + j)
    group, position = key // SEQUENCE, key % SEQUENCE
    in_t = group < V
    r = tl.load(received + position, mask=in_t, other=0.0)
    s = tl.load(saliency + position, mask=in_t, other=0.0, cache_modifier=".cg")
    _, before_r, before_s = tl.associative_scan((group, r, s), 0, _higher)
    _, after_r, after_s = tl.associative_scan((group, r, s), 0, _higher, reverse=True)
    highest_r, highest_s = tl.maximum(before_r, after_r), tl.maximum(before_s, after_s)
    score = tl.where(mean_s > 0, (highest_r - mean_r) * (highest_s / mean_s), 0.0)
    score = tl.where(in_t, tl.where(unscorable, float("nan"), score), 0.0)
    tl.store(scores + position, score, mask=position < length)
    candidates = tl.where(in_t & (unscorable == 0), score, float("-inf"))
    top = tl.max(candidates, axis=0)
    has_suspect = top > float("-inf")
    tl.store(anomaly, tl.where(unscorable, float("nan"), tl.where(has_suspect, top, 0.0)))
    first = tl.min(tl.where(candidates == top, position, SEQUENCE), axis=0)
    tl.store(suspect, tl.where(has_suspect, first, -1).to(tl.int64))


@triton.jit
def _higher(group, r, s, next_group, next_r, next_s):
    """The highest r and s so far of the last id."""
    same = group == next_group
    return (
        next_group,
        tl.where(same, tl.maximum(r, next_r), next_r),
        tl.where(same, tl.maximum(s, next_s), next_s),
    )


@triton.jit
def _load_tokens(received, ids, table, saliency, j, length, V):
    """Ids, membership of T, r and s at positions j; r and s are 0 outside T."""
    token = tl.load(ids + j, mask=j < length, other=-1)
    in_t = tl.load(table + token, mask=(token >= 0) & (token < V), other=0) != 0
    r = tl.load(received + j, mask=in_t, other=0.0)
    s = tl.load(saliency + j, mask=in_t, other=0.0, cache_modifier=".cg")  # written by other programs: not through L1
    return token, in_t, r, s
