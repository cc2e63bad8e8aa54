"""Gradients of attention to Q, K and V, with attention received from the same loop.

    P = exp(scale · Q Kᵀ − lse)      δ_i = dO_i · O_i                    dS = P ∘ (dO Vᵀ − δ)
    dQ = scale · dS K                dK = scale · dSᵀ Q                  dV = Pᵀ dO          r_j = Σ_i P_ij

FlashAttention's backward pass (Dao et al. 2022, algorithm 4) rebuilds P tile by tile; a column sum of the tile it holds
anyway is attention received. One kernel goes by queries (δ and dQ), one by keys (dK, dV and r).

The gradient may be wanted for some of the texts only, with no copy of what the forward pass saved: texts are looked up
in the saved tensors with one set of segments and written to the gradients with another.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl

from .flash_received import check_heads, load_tile, padded_head, store_tile
from .launch import check, launch_on
from .segments import Segments

TILE = 64  # queries and keys per tile


class Saved(NamedTuple):
    """What the forward pass kept: inputs, output and log-sum-exp, shaped as in :func:`attend`."""

    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    output: torch.Tensor
    lse: torch.Tensor


class Gradients(NamedTuple):
    """Tensors to write to: dQ [M', H, D]; dK and dV [N', H, D]. Rows may lie apart; rows outside every text stay."""

    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor


def flash_backward(
    d_output: torch.Tensor,
    saved: Saved,
    scale: float,
    queries: Segments,
    keys: Segments,
    into: Gradients,
    d_queries: Segments,
    d_keys: Segments,
    received: torch.Tensor,
) -> None:
    """Write the gradients of the chosen texts to ``into``, and add what their keys receive to ``received``.

    Args:
        d_output: [M', H, D], gradient of the output, contiguous, in the type of ``saved.q``.
        saved: from the forward pass.
        queries, keys: where the chosen texts lie in the rows of ``saved``.
        into: gradients, in the same type.
        d_queries, d_keys: where the same texts lie in the rows of ``d_output`` and ``into``; of the same lengths.
        received: [H, N] float32, laid out as ``saved.k``; see :func:`add_received`.

    Raises:
        InputError: a tensor has the wrong device, type, shape or memory order.
        EngineError: the tensors are not on a GPU.
    """
    q, k, v, output, lse = saved
    check_heads(q, k, queries, keys)
    (M, H, D), N, own = q.shape, k.shape[0], [q.dtype]
    check("v", v, (N, H, D), own, q, strided_rows=True)
    check("output", output, (M, H, D), own, q)
    check("lse", lse, (H, M), [torch.float32], q)
    check("received", received, (H, N), [torch.float32], q)
    check_heads(into.q, into.k, d_queries, d_keys)
    G = into.q.shape[0]
    check("gradient of q", into.q, (G, H, D), own, q, strided_rows=True)
    check("gradient of v", into.v, into.k.shape, own, q, strided_rows=True)
    check("gradient of the output", d_output, (G, H, D), own, q)
    d_queries.check("d_queries", G, len(queries))
    delta = q.new_empty(H, G, dtype=torch.float32)
    places = (queries.starts, queries.lengths, keys.starts, keys.lengths, d_queries.starts, d_keys.starts)
    with launch_on(q.device):
        _by_queries[(triton.cdiv(queries.longest, TILE), len(queries), H)](
            q, k, v, output, d_output, lse, delta, into.q, q.stride(0), k.stride(0), v.stride(0), into.q.stride(0),
            M, G, scale, *places, H=H, D=D, WIDTH=padded_head(D), TILE=TILE,
        )  # fmt: skip
        _by_keys[(triton.cdiv(keys.longest, TILE), len(keys), H)](
            q, k, v, d_output, lse, delta, into.k, into.v, received,
            q.stride(0), k.stride(0), v.stride(0), into.k.stride(0), into.v.stride(0),
            M, N, G, scale, *places, H=H, D=D, WIDTH=padded_head(D), TILE=TILE,
        )  # fmt: skip


@triton.jit
def _by_queries(
    q, k, v, output, d_output, lse, delta, d_q, q_stride, k_stride, v_stride, d_q_stride, M, G, scale,
    q_starts, q_lengths, k_starts, k_lengths, dq_starts, dk_starts,
    H: tl.constexpr, D: tl.constexpr, WIDTH: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    text, head = tl.program_id(1), tl.program_id(2)
    q_start, q_length = tl.load(q_starts + text).to(tl.int64), tl.load(q_lengths + text)
    k_start, k_length = tl.load(k_starts + text).to(tl.int64), tl.load(k_lengths + text)
    g_start = tl.load(dq_starts + text).to(tl.int64)
    i = tl.program_id(0) * TILE + tl.arange(0, TILE)
    queries = load_tile(q + q_start * q_stride, i, q_stride, head, q_length, D, WIDTH)
    out = load_tile(output + q_start * H * D, i, H * D, head, q_length, D, WIDTH)
    d_out = load_tile(d_output + g_start * H * D, i, H * D, head, q_length, D, WIDTH)
    row = tl.load(lse + head * M + q_start + i, mask=i < q_length, other=float("inf"))
    d = tl.sum(out.to(tl.float32) * d_out.to(tl.float32), axis=1)
    tl.store(delta + head * G + g_start + i, d, mask=i < q_length)
    total = tl.zeros([TILE, WIDTH], tl.float32)
    for first in range(0, k_length, TILE):
        j = first + tl.arange(0, TILE)
        keys = load_tile(k + k_start * k_stride, j, k_stride, head, k_length, D, WIDTH)
        values = load_tile(v + k_start * v_stride, j, v_stride, head, k_length, D, WIDTH)
        p = tl.exp(tl.dot(queries, tl.trans(keys), input_precision="ieee") * scale - row[:, None])
        p = tl.where((j < k_length)[None, :], p, 0.0)  # beyond the text it may be infinite
        d_s = p * (tl.dot(d_out, tl.trans(values), input_precision="ieee") - d[:, None])
        total += tl.dot(d_s.to(keys.dtype), keys, input_precision="ieee")
    store_tile(d_q + g_start * d_q_stride, total * scale, i, d_q_stride, head, q_length, D, WIDTH)


@triton.jit
def _by_keys(
    q, k, v, d_output, lse, delta, d_k, d_v, received,
    q_stride, k_stride, v_stride, d_k_stride, d_v_stride, M, N, G, scale,
    q_starts, q_lengths, k_starts, k_lengths, dq_starts, dk_starts,
    H: tl.constexpr, D: tl.constexpr, WIDTH: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    text, head = tl.program_id(1), tl.program_id(2)
    q_start, q_length = tl.load(q_starts + text).to(tl.int64), tl.load(q_lengths + text)
    k_start, k_length = tl.load(k_starts + text).to(tl.int64), tl.load(k_lengths + text)
    g_start, target = tl.load(dq_starts + text).to(tl.int64), tl.load(dk_starts + text).to(tl.int64)
    j = tl.program_id(0) * TILE + tl.arange(0, TILE)
    keys = load_tile(k + k_start * k_stride, j, k_stride, head, k_length, D, WIDTH)
    values = load_tile(v + k_start * v_stride, j, v_stride, head, k_length, D, WIDTH)
    columns = tl.zeros([TILE], tl.float32)
    total_k = tl.zeros([TILE, WIDTH], tl.float32)
    total_v = tl.zeros([TILE, WIDTH], tl.float32)
    for first in range(0, q_length, TILE):
        i = first + tl.arange(0, TILE)
        queries = load_tile(q + q_start * q_stride, i, q_stride, head, q_length, D, WIDTH)
        d_out = load_tile(d_output + g_start * H * D, i, H * D, head, q_length, D, WIDTH)
        row = tl.load(lse + head * M + q_start + i, mask=i < q_length, other=float("inf"))  # exp(-inf) = 0
        d = tl.load(delta + head * G + g_start + i, mask=i < q_length, other=0.0)
        p = tl.exp(tl.dot(queries, tl.trans(keys), input_precision="ieee") * scale - row[:, None])
        columns += tl.sum(p, axis=0)
        total_v += tl.dot(tl.trans(p.to(d_out.dtype)), d_out, input_precision="ieee")
        d_s = p * (tl.dot(d_out, tl.trans(values), input_precision="ieee") - d[:, None])
        total_k += tl.dot(tl.trans(d_s.to(queries.dtype)), queries, input_precision="ieee")
    store_tile(d_k + target * d_k_stride, total_k * scale, j, d_k_stride, head, k_length, D, WIDTH)
    store_tile(d_v + target * d_v_stride, total_v, j, d_v_stride, head, k_length, D, WIDTH)
    sums = received + head * N + k_start + j
    tl.store(sums, tl.load(sums, mask=j < k_length, other=0.0) + columns, mask=j < k_length)
