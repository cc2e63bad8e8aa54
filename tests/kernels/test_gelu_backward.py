"""Gradient of the exact GELU against autograd in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tokenward.errors import InputError
from tokenward.kernels.gelu_backward import gelu_backward

# Of the largest gradient; the result is rounded once (the interpreter cuts bfloat16 off).
TOLERANCE = {torch.float32: 1e-6, torch.float16: 6e-4, torch.bfloat16: 8e-3}


def make(M: int, N: int, D: int, dtype: torch.dtype, device: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(M * 1000 + D)
    d_output, x = (torch.randn(n, D, generator=generator).to(dtype).to(device) for n in (M, N))
    return d_output, x * 3, torch.randint(N, (M,), generator=generator, dtype=torch.int32).to(device)


def expected(d_output: torch.Tensor, x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    leaf = x[rows.long()].double().requires_grad_()
    return torch.autograd.grad(torch.nn.functional.gelu(leaf), leaf, d_output.double())[0]


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize(("M", "N", "D"), [(1, 1, 1), (2, 9, 5), (17, 17, 64), (5, 3, 1025), (9, 12, 384)])
def test_against_autograd(M: int, N: int, D: int, dtype: torch.dtype, device: str, fences: Any):
    case = [fences.around(x) for x in make(M, N, D, dtype, device)]
    with fences:
        found = gelu_backward(*case)
    exact = expected(*case)
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=TOLERANCE[dtype] * exact.abs().max().item())


def test_far_from_zero(device: str):
    """The slope is 0 or 1 there, whatever the exponential does."""
    x = torch.tensor([[-1e4, -40.0, 40.0, 1e4]], device=device)
    found = gelu_backward(torch.ones_like(x), x, torch.zeros(1, dtype=torch.int32, device=device))
    assert found.tolist() == [[0.0, 0.0, 1.0, 1.0]]


def test_rows_outside_are_never_read(device: str, fences: Any):
    d_output, x, rows = (fences.around(t) for t in make(3, 4, 8, torch.float32, device))
    rows[:2] = torch.tensor([-1, 4])
    assert gelu_backward(d_output, x, rows).isfinite().all()


def test_no_rows_at_all(device: str):
    assert gelu_backward(*make(0, 4, 8, torch.float32, device)).shape == (0, 8)


@pytest.mark.parametrize(
    ("position", "value", "message"),
    [
        (0, torch.zeros(3, 8, dtype=torch.float64), "'d_output' is float64"),
        (0, torch.zeros(24), "'d_output' has shape"),
        (0, torch.zeros(3, 0), "'d_output' has shape \\[3, 0\\], expected \\[3, 1\\]"),
        (1, torch.tensor(1.0), "'x' has shape \\[\\], expected \\[1, 8\\]"),
        (1, torch.zeros(4, 9), "'x' has shape \\[4, 9\\], expected \\[4, 8\\]"),
        (2, torch.zeros(3, dtype=torch.int64), "'rows' is int64, expected int32"),
    ],
)
def test_bad_input_is_named_before_the_launch(position: int, value: torch.Tensor, message: str):
    arguments = list(make(3, 4, 8, torch.float32, "cpu"))
    arguments[position] = value
    with pytest.raises(InputError, match=message):
        gelu_backward(*arguments)
