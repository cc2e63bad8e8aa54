"""Rules of arithmetic and of functions applied to each element on its own."""

from __future__ import annotations

import math

import numpy as np

from ..emitter import Term
from ..registry import rule
from ..step import Step


@rule("Add", "Sum", broadcasts=True)
def add(step: Step, i: int) -> Term:
    """x̄ᵢ = ȳ."""
    return step.dy


@rule("Sub", broadcasts=True)
def sub(step: Step, i: int) -> Term:
    """x̄₀ = ȳ, x̄₁ = −ȳ."""
    return step.dy if i == 0 else -step.dy


@rule("Mul", broadcasts=True)
def mul(step: Step, i: int) -> Term:
    """x̄₀ = ȳ·x₁, x̄₁ = ȳ·x₀."""
    return step.dy * step.x(1 - i)


@rule("Div", broadcasts=True)
def div(step: Step, i: int) -> Term:
    """x̄₀ = ȳ/x₁, x̄₁ = −ȳ·y/x₁."""
    dx = step.dy / step.x(1)
    return dx if i == 0 else -dx * step.y()


@rule("Mean", broadcasts=True)
def mean(step: Step, i: int) -> Term:
    """x̄ᵢ = ȳ/n."""
    return step.dy / len(step.node.inputs)


@rule("Neg")
def neg(step: Step, i: int) -> Term:
    """x̄ = −ȳ."""
    return -step.dy


@rule("Pow", broadcasts=True)
def power(step: Step, i: int) -> Term:
    """x̄₀ = ȳ·x₁·x₀^(x₁−1), 0 where x₁ = 0; x̄₁ = ȳ·y·ln x₀, 0 where x₀ = 0."""
    op, x = step.op, step.x(0)
    if i == 1:
        dx = step.dy * step.y() * op.Log(op.Where(op.Equal(x, 0.0), 1.0, x))
        return dx if step.dtype(1) == step.dtype(0) else op.Cast(dx, to=step.dtype(1))
    exponent = step.constant(1)
    if exponent is not None and exponent.size == 1:
        p = float(exponent.item())
        if p == 0:
            return step.region.full(0.0, step.node.outputs[0])
        return step.dy * (x * 2.0 if p == 2 else op.Pow(x, p - 1) * p)
    # Where x₁ = 0 the power is x₀⁰ = 1 times 0: x₀⁻¹ would be infinite at 0, and 0·∞ is not a number.
    if exponent is not None:
        dtype, lower = step.dtype(0).numpy(), np.where(exponent == 0, 0, exponent - 1)
        return step.dy * exponent.astype(dtype) * op.Pow(x, lower.astype(dtype))
    p_ = op.Cast(step.x(1), to=step.dtype(0))
    return step.dy * p_ * op.Pow(x, op.Where(op.Equal(p_, 0.0), 0.0, p_ - 1))


@rule("Sqrt")
def sqrt(step: Step, i: int) -> Term:
    """x̄ = ȳ/(2y)."""
    return step.dy / (step.y() * 2.0)


@rule("Reciprocal")
def reciprocal(step: Step, i: int) -> Term:
    """x̄ = −ȳ·y²."""
    y = step.y()
    return -step.dy * (y * y)


@rule("Exp")
def exp(step: Step, i: int) -> Term:
    """x̄ = ȳ·y."""
    return step.dy * step.y()


@rule("Log")
def log(step: Step, i: int) -> Term:
    """x̄ = ȳ/x."""
    return step.dy / step.x(0)


@rule("Sin")
def sin(step: Step, i: int) -> Term:
    """x̄ = ȳ·cos x."""
    return step.dy * step.op.Cos(step.x(0))


@rule("Cos")
def cos(step: Step, i: int) -> Term:
    """x̄ = −ȳ·sin x."""
    return -step.dy * step.op.Sin(step.x(0))


@rule("Abs")
def absolute(step: Step, i: int) -> Term:
    """x̄ = ȳ·sign x."""
    return step.dy * step.op.Sign(step.x(0))


@rule("Erf")
def erf(step: Step, i: int) -> Term:
    """x̄ = ȳ·(2/√π)·exp(−x²)."""
    x = step.x(0)
    return step.dy * (step.op.Exp(-x * x) * (2 / math.sqrt(math.pi)))


@rule("Cast")
def cast(step: Step, i: int) -> Term:
    """x̄ = ȳ, in the dtype of x."""
    return step.op.Cast(step.dy, to=step.dtype(0))


@rule("Identity")
def identity(step: Step, i: int) -> Term:
    """x̄ = ȳ."""
    return step.dy


@rule("Dropout")
def dropout(step: Step, i: int) -> Term:
    """x̄ = ȳ (inference)."""
    training = step.constant(2)
    if step.has(2) and (training is None or training.item()):
        raise step.refusal("it is in training mode; export the model in evaluation mode")
    return step.dy
