"""Gradient of layer normalisation to its input, with the residual branch's gradient added on the way in.

    g = dy + residual      x̂ = (x − mean x) / √(var x + ε)      dx = (γ∘g − mean(γ∘g) − x̂ · mean(γ∘g∘x̂)) / √(var x + ε)

In a transformer that normalises after adding, the normalised output feeds the next block and the residual past it: the
two gradients meet here, which saves a pass over memory. Statistics are computed anew: the row is in registers anyway.
No gradient of γ or β: nothing is trained.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
from __future__ import annotations

import torch
import triton
import triton.language as tl

from .launch import FLOATS, check, launch_on

VALUES = 2048  # values per program: several short rows, or one long one


def layer_norm_backward(
    d_output: torch.Tensor,
    residual: torch.Tensor | None,
    x: torch.Tensor,
    rows: torch.Tensor,
    weight: torch.Tensor,
    epsilon: float,
) -> torch.Tensor:
    """Return dx [M, D] in the type of ``d_output``; sums are in float32.

    Args:
        d_output: [M, D] float32, float16 or bfloat16; D is 1 at least.
        residual: [M, D], gradient that reached the output along another path; None where there is none.
        x: [N, D], input of the normalisation, as the forward pass saved it.
        rows: [M] int32, the row of ``x`` that each row of ``d_output`` belongs to; one outside is taken
            for the nearest.
        weight: γ [D].

    Raises:
        InputError: a tensor has the wrong device, type, shape or memory order.
        EngineError: the tensors are not on a GPU.
    """
    M, D = d_output.shape if d_output.dim() == 2 else (-1, -1)
    N = x.shape[0] if x.dim() else 0
    check("d_output", d_output, (M, D or 1), FLOATS, d_output)
    check("x", x, (N or 1, D), [d_output.dtype], d_output)
    check("rows", rows, (M,), [torch.int32], d_output)
    check("weight", weight, (D,), [d_output.dtype], d_output)
    if residual is not None:
        check("residual", residual, (M, D), [d_output.dtype], d_output)
    dx = torch.empty_like(d_output)
    width = triton.next_power_of_2(D)
    rows_each = max(VALUES // width, 1)
    if M:
        with launch_on(d_output.device):
            _layer_norm_backward[(triton.cdiv(M, rows_each),)](
                d_output, d_output if residual is None else residual, x, rows, weight, dx, M, N, D, epsilon,
                RESIDUAL=residual is not None, ROWS=rows_each, WIDTH=width,
            )  # fmt: skip
    return dx


@triton.jit
def _layer_norm_backward(
    d_output, residual, x, rows, weight, dx, M, N, D, epsilon,
    RESIDUAL: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    source = tl.minimum(tl.maximum(tl.load(rows + row, mask=row < M, other=0), 0), N - 1).to(tl.int64)
    d = tl.arange(0, WIDTH)
    inside = (row < M)[:, None] & (d < D)[None, :]
    here = row[:, None] * D + d[None, :]
    value = tl.load(x + source[:, None] * D + d[None, :], mask=inside, other=0.0).to(tl.float32)
    g = tl.load(d_output + here, mask=inside, other=0.0).to(tl.float32)
    if RESIDUAL:
        g += tl.load(residual + here, mask=inside, other=0.0).to(tl.float32)
    g *= tl.load(weight + d, mask=d < D, other=0.0).to(tl.float32)[None, :]
    centred = tl.where(inside, value - (tl.sum(value, axis=1) / D)[:, None], 0.0)
    scale = 1.0 / tl.sqrt_rn(tl.sum(centred * centred, axis=1) / D + epsilon)
    normal = centred * scale[:, None]
    along = tl.sum(g * normal, axis=1) / D
    result = (g - (tl.sum(g, axis=1) / D)[:, None] - normal * along[:, None]) * scale[:, None]
    tl.store(dx + here, result.to(dx.dtype.element_ty), mask=inside)
