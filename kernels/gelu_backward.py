"""Gradient of the exact GELU to its input.

    GELU(x) = x · Φ(x)      dx = dy · (Φ(x) + x · φ(x))      Φ(x) = ½ (1 + erf(x / √2)),  φ(x) = exp(−x² / 2) / √(2π)

The feed-forward block's inner activation is the largest that the forward pass saves. Rows are looked up where it lies,
so a gradient for some of the texts needs no copy of it.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
from __future__ import annotations

import torch
import triton
import triton.language as tl

from .launch import FLOATS, check, launch_on

VALUES = 2048  # values per program: several short rows, or part of a long one


def gelu_backward(d_output: torch.Tensor, x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Return dx [M, D] in the type of ``d_output``; computed in float32.

    Args:
        d_output: [M, D] float32, float16 or bfloat16; D is 1 at least.
        x: [N, D], input of the GELU, as the forward pass saved it.
        rows: [M] int32, the row of ``x`` that each row of ``d_output`` belongs to; one outside is taken
            for the nearest.

    Raises:
        InputError: a tensor has the wrong device, type, shape or memory order.
        EngineError: the tensors are not on a GPU.
    """
    M, D = d_output.shape if d_output.dim() == 2 else (-1, -1)
    N = x.shape[0] if x.dim() else 0
    check("d_output", d_output, (M, D or 1), FLOATS, d_output)
    check("x", x, (N or 1, D), [d_output.dtype], d_output)
    check("rows", rows, (M,), [torch.int32], d_output)
    dx = torch.empty_like(d_output)
    columns = min(triton.next_power_of_2(D), VALUES)
    rows_each = VALUES // columns
    if M:
        with launch_on(d_output.device):
            _gelu_backward[(triton.cdiv(M, rows_each), triton.cdiv(D, columns))](
                d_output, x, rows, dx, M, N, D, ROWS=rows_each, COLUMNS=columns
            )
    return dx


@triton.jit
def _gelu_backward(d_output, x, rows, dx, M, N, D, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    source = tl.minimum(tl.maximum(tl.load(rows + row, mask=row < M, other=0), 0), N - 1).to(tl.int64)
    d = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = (row < M)[:, None] & (d < D)[None, :]
    here = row[:, None] * D + d[None, :]
    value = tl.load(x + source[:, None] * D + d[None, :], mask=inside, other=0.0).to(tl.float32)
    g = tl.load(d_output + here, mask=inside, other=0.0).to(tl.float32)
    cumulative = 0.5 * (1.0 + tl.math.erf(value * 0.7071067811865476))
    density = 0.3989422804014327 * tl.exp(-0.5 * value * value)
    tl.store(dx + here, (g * (cumulative + value * density)).to(dx.dtype.element_ty), mask=inside)
