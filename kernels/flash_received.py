"""Attention and attention received, without an S×S matrix anywhere.

    O = softmax(scale · Q Kᵀ) V      lse_i = log Σ_j exp(scale · q_i·k_j)      r_j = Σ_i exp(scale · q_i·k_j − lse_i)

`attend` is attention with the online softmax of FlashAttention (Dao et al. 2022, algorithm 1); it keeps only one number
per query, the log-sum-exp. `add_received` goes over the same products once more, by columns: the probabilities exist
for one tile at a time. Queries may be other rows than the keys: with the class tokens as the only queries, the sum over
queries is the class attention. Where the gradient is computed too, `flash_backward` gives r for nothing.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
from __future__ import annotations

import torch
import triton
import triton.language as tl

from .launch import FLOATS, check, launch_on
from .segments import Segments

TILE = 64  # queries and keys per tile
WIDEST_HEAD = 128


def attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float, queries: Segments, keys: Segments
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention of every text's queries over the same text's keys.

    Products are summed in float32, from factors in the type of ``q``.

    Args:
        q: [M, H, D] float32, float16 or bfloat16; like ``k`` and ``v``, its rows may lie apart (a slice of a fused
            projection [M, 3, H, D]).
        k, v: [N, H, D], of the same type.
        queries, keys: where the texts lie in the rows of ``q`` and of ``k``.

    Returns:
        Output [M, H, D] in the type of ``q`` and log-sum-exp [H, M] float32. Rows outside every text are undefined;
        queries of a text without keys look at nothing: output 0, log-sum-exp −∞.

    Raises:
        InputError: a tensor has the wrong device, type, shape or memory order.
        EngineError: the tensors are not on a GPU.
    """
    check_heads(q, k, queries, keys)
    check("v", v, k.shape, [q.dtype], q, strided_rows=True)
    M, H, D = q.shape
    output, lse = q.new_empty(M, H, D), q.new_empty(H, M, dtype=torch.float32)
    with launch_on(q.device):
        _attend[(triton.cdiv(queries.longest, TILE), len(queries), H)](
            q, k, v, output, lse, q.stride(0), k.stride(0), v.stride(0), M, scale,
            queries.starts, queries.lengths, keys.starts, keys.lengths,
            H=H, D=D, WIDTH=padded_head(D), TILE=TILE,
        )  # fmt: skip
    return output, lse


def add_received(
    q: torch.Tensor, k: torch.Tensor, lse: torch.Tensor, scale: float, queries: Segments, keys: Segments,
    received: torch.Tensor,
) -> None:  # fmt: skip
    """Add what every key receives, per head, to ``received`` [H, N] float32, which must be zero before the first layer.

    The mean over its heads, divided by the number of layers added, is attention received. Heads are kept apart so that
    no two programs add to one number: results do not depend on the order in which the device runs them.

    Args and errors as in :func:`attend`; ``lse`` [H, M] is what it returned.
    """
    check_heads(q, k, queries, keys)
    M, H, D = q.shape
    check("lse", lse, (H, M), [torch.float32], q)
    check("received", received, (H, k.shape[0]), [torch.float32], q)
    with launch_on(q.device):
        _add_received[(triton.cdiv(keys.longest, TILE), len(keys), H)](
            q, k, lse, received, q.stride(0), k.stride(0), M, k.shape[0], scale,
            queries.starts, queries.lengths, keys.starts, keys.lengths, D=D, WIDTH=padded_head(D), TILE=TILE,
        )  # fmt: skip


def check_heads(q: torch.Tensor, k: torch.Tensor, queries: Segments, keys: Segments) -> None:
    """Check queries and keys of attention against each other."""
    M, H, D = q.shape if q.dim() == 3 else (-1, -1, -1)
    N = k.shape[0] if k.dim() else -1
    check("q", q, (M, H, min(D, WIDEST_HEAD)), FLOATS, q, strided_rows=True)
    check("k", k, (N, H, D), [q.dtype], q, strided_rows=True)
    check("queries", queries.starts, (len(queries),), [torch.int32], q)
    check("keys", keys.starts, (len(keys),), [torch.int32], q)
    queries.check("queries", M, len(keys))
    keys.check("keys", N, len(queries))


def padded_head(D: int) -> int:
    """The head size that tiles are given: a power of two that tensor cores take."""
    return max(int(triton.next_power_of_2(D)), 16)


@triton.jit
def load_tile(pointer, row, stride, head, length, D: tl.constexpr, WIDTH: tl.constexpr):
    """Rows of one head, [rows, WIDTH]; 0 beyond the text and beyond the head."""
    d = tl.arange(0, WIDTH)
    inside = (row < length)[:, None] & (d < D)[None, :]
    return tl.load(pointer + row.to(tl.int64)[:, None] * stride + head * D + d[None, :], mask=inside, other=0.0)


@triton.jit
def store_tile(pointer, values, row, stride, head, length, D: tl.constexpr, WIDTH: tl.constexpr):
    """The counterpart of `load_tile`."""
    d = tl.arange(0, WIDTH)
    inside = (row < length)[:, None] & (d < D)[None, :]
    target = pointer + row.to(tl.int64)[:, None] * stride + head * D + d[None, :]
    tl.store(target, values.to(pointer.dtype.element_ty), mask=inside)


@triton.jit
def _attend(
    q, k, v, output, lse, q_stride, k_stride, v_stride, M, scale,
    q_starts, q_lengths, k_starts, k_lengths,
    H: tl.constexpr, D: tl.constexpr, WIDTH: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    text, head = tl.program_id(1), tl.program_id(2)
    q_start, q_length = tl.load(q_starts + text).to(tl.int64), tl.load(q_lengths + text)
    k_start, k_length = tl.load(k_starts + text).to(tl.int64), tl.load(k_lengths + text)
    i = tl.program_id(0) * TILE + tl.arange(0, TILE)
    queries = load_tile(q + q_start * q_stride, i, q_stride, head, q_length, D, WIDTH)
    highest = tl.full([TILE], float("-inf"), tl.float32)
    total = tl.zeros([TILE], tl.float32)
    mixed = tl.zeros([TILE, WIDTH], tl.float32)
    for first in range(0, k_length, TILE):
        j = first + tl.arange(0, TILE)
        keys = load_tile(k + k_start * k_stride, j, k_stride, head, k_length, D, WIDTH)
        values = load_tile(v + k_start * v_stride, j, v_stride, head, k_length, D, WIDTH)
        logits = tl.dot(queries, tl.trans(keys), input_precision="ieee") * scale
        logits = tl.where((j < k_length)[None, :], logits, float("-inf"))
        higher = tl.maximum(highest, tl.max(logits, axis=1))
        weights = tl.exp(logits - higher[:, None])
        shrink = tl.exp(highest - higher)
        total = total * shrink + tl.sum(weights, axis=1)
        mixed = mixed * shrink[:, None] + tl.dot(weights.to(values.dtype), values, input_precision="ieee")
        highest = higher
    divisor = tl.where(total == 0.0, 1.0, total)  # 0 where there is no key
    store_tile(output + q_start * H * D, mixed / divisor[:, None], i, H * D, head, q_length, D, WIDTH)
    tl.store(lse + head * M + q_start + i, highest + tl.log(total), mask=i < q_length)


@triton.jit
def _add_received(
    q, k, lse, received, q_stride, k_stride, M, N, scale,
    q_starts, q_lengths, k_starts, k_lengths,
    D: tl.constexpr, WIDTH: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    text, head = tl.program_id(1), tl.program_id(2)
    q_start, q_length = tl.load(q_starts + text).to(tl.int64), tl.load(q_lengths + text)
    k_start, k_length = tl.load(k_starts + text).to(tl.int64), tl.load(k_lengths + text)
    j = tl.program_id(0) * TILE + tl.arange(0, TILE)
    keys = load_tile(k + k_start * k_stride, j, k_stride, head, k_length, D, WIDTH)
    total = tl.zeros([TILE], tl.float32)
    for first in range(0, q_length, TILE):
        i = first + tl.arange(0, TILE)
        queries = load_tile(q + q_start * q_stride, i, q_stride, head, q_length, D, WIDTH)
        logits = tl.dot(queries, tl.trans(keys), input_precision="ieee") * scale
        row = tl.load(lse + head * M + q_start + i, mask=i < q_length, other=float("inf"))  # exp(-inf) = 0
        total += tl.sum(tl.exp(logits - row[:, None]), axis=0)
    target = received + head * N + k_start + j
    tl.store(target, tl.load(target, mask=j < k_length, other=0.0) + total, mask=j < k_length)
