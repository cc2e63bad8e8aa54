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
        d_output: [M, D] float32, float16 or bfloat16.
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
    check("d_output", d_output, (M, D), FLOATS, d_output)
    check("x", x, (max(x.shape[0], 1), D), [d_output.dtype], d_output)
    check("rows", rows, (M,), [torch.int32], d_output)
    check("weight", weight, (D,), [d_output.dtype], d_output)
    if residual is not None:
        check("residual", residual, (M, D), [d_output.dtype], d_output)
    dx = torch.empty_like(d_output)
    if M:
        with launch_on(d_output.device):
            _layer_norm_backward[(M,)](
                d_output, d_output if residual is None else residual, x, rows, weight, dx, x.shape[0], D, epsilon,
                RESIDUAL=residual is not None, WIDTH=triton.next_power_of_2(D),
            )  # fmt: skip
    return dx


@triton.jit
def _layer_norm_backward(
    d_output, residual, x, rows, weight, dx, N, D, epsilon, RESIDUAL: tl.constexpr, WIDTH: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    source = tl.minimum(tl.maximum(tl.load(rows + row), 0), N - 1).to(tl.int64)
    d = tl.arange(0, WIDTH)
    inside = d < D
    value = tl.load(x + source * D + d, mask=inside, other=0.0).to(tl.float32)
    g = tl.load(d_output + row * D + d, mask=inside, other=0.0).to(tl.float32)
    if RESIDUAL:
        g += tl.load(residual + row * D + d, mask=inside, other=0.0).to(tl.float32)
    g *= tl.load(weight + d, mask=inside, other=0.0).to(tl.float32)
    centred = tl.where(inside, value - tl.sum(value, axis=0) / D, 0.0)
    scale = 1.0 / tl.sqrt_rn(tl.sum(centred * centred, axis=0) / D + epsilon)
    normal = centred * scale
    result = (g - tl.sum(g, axis=0) / D - normal * (tl.sum(g * normal, axis=0) / D)) * scale
    tl.store(dx + row * D + d, result.to(dx.dtype.element_ty), mask=inside)
