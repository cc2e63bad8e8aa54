"""Gradient of layer normalisation against autograd in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tokenward.errors import InputError
from tokenward.kernels.layer_norm_backward import layer_norm_backward

# Of the largest gradient; the result is rounded once.
TOLERANCE = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}
EPSILON = 1e-12


def make(M: int, N: int, D: int, dtype: torch.dtype, device: str) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(M * 1000 + D)
    draw = {"d_output": (M, D), "residual": (M, D), "x": (N, D), "weight": (D,)}
    case = {name: torch.randn(*shape, generator=generator).to(dtype).to(device) for name, shape in draw.items()}
    case["x"] = case["x"] * 3 + 5  # a mean far from 0
    return {**case, "rows": torch.randint(N, (M,), generator=generator, dtype=torch.int32).to(device)}


def expected(case: dict[str, Any]) -> torch.Tensor:
    x = case["x"][case["rows"].long()].double().requires_grad_()
    y = torch.nn.functional.layer_norm(x, x.shape[1:], case["weight"].double(), None, EPSILON)
    residual = 0 if case["residual"] is None else case["residual"].double()
    return torch.autograd.grad(y, x, case["d_output"].double() + residual)[0]


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize(("M", "N", "D"), [(1, 1, 3), (2, 9, 5), (17, 17, 64), (5, 3, 123), (29, 40, 384)])
def test_against_autograd(M: int, N: int, D: int, dtype: torch.dtype, device: str, fences: Any):
    case = {name: fences.around(x) for name, x in make(M, N, D, dtype, device).items()}
    with fences:
        found = layer_norm_backward(**case, epsilon=EPSILON)
    exact = expected(case)
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=TOLERANCE[dtype] * exact.abs().max().item())


def test_without_a_residual(device: str):
    case = {**make(3, 3, 7, torch.float32, device), "residual": None}
    torch.testing.assert_close(
        layer_norm_backward(**case, epsilon=EPSILON).double(), expected(case), rtol=1e-5, atol=1e-5
    )


def test_the_gradient_ignores_shift_and_scale_of_a_row(device: str):
    """x̂ does not change with x + c, so dx sums to 0 over the row; nor with c·x, so dx is orthogonal to x̂."""
    case = make(6, 6, 64, torch.float32, device)
    dx = layer_norm_backward(**case, epsilon=0.0)
    x = case["x"][case["rows"].long()]
    torch.testing.assert_close(dx.sum(1), torch.zeros(6, device=device), rtol=0, atol=1e-5)
    torch.testing.assert_close(
        ((x - x.mean(1, keepdim=True)) * dx).sum(1), torch.zeros(6, device=device), rtol=0, atol=1e-4
    )


def test_no_rows_at_all(device: str):
    assert layer_norm_backward(**make(0, 4, 8, torch.float32, device), epsilon=EPSILON).shape == (0, 8)


def test_rows_outside_are_never_read(device: str, fences: Any):
    case = {name: fences.around(x) for name, x in make(3, 4, 8, torch.float32, device).items()}
    case["rows"][:2] = torch.tensor([-1, 4])
    assert layer_norm_backward(**case, epsilon=EPSILON).isfinite().all()


def test_nan_stays_in_its_row(device: str):
    case = make(3, 4, 8, torch.float32, device)
    case["d_output"][1, 2] = float("nan")
    found = layer_norm_backward(**case, epsilon=EPSILON)
    assert found.isnan().any(1).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"d_output": torch.zeros(3, 8, dtype=torch.float64)}, "'d_output' is float64"),
        ({"d_output": torch.zeros(3, 0)}, "'d_output' has shape \\[3, 0\\], expected \\[3, 1\\]"),
        ({"x": torch.tensor(1.0)}, "'x' has shape \\[\\], expected \\[1, 8\\]"),
        ({"residual": torch.zeros(3, 9)}, "'residual' has shape \\[3, 9\\], expected \\[3, 8\\]"),
        ({"x": torch.zeros(8, 4).T}, "'x' is not contiguous"),
        ({"rows": torch.zeros(3, dtype=torch.int64)}, "'rows' is int64, expected int32"),
        ({"weight": torch.zeros(8, dtype=torch.float16)}, "'weight' is float16, expected float32"),
    ],
)
def test_bad_input_is_named_before_the_launch(change: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        layer_norm_backward(**{**make(3, 4, 8, torch.float32, "cpu"), **change}, epsilon=EPSILON)
