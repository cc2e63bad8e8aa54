"""Rules of the activation functions of networks."""

from __future__ import annotations

import math

from ..emitter import Term
from ..registry import rule
from ..step import Step


@rule("Tanh")
def tanh(step: Step, i: int) -> Term:
    """x̄ = ȳ·(1 − y²)."""
    y = step.y()
    return step.dy * (1.0 - y * y)


@rule("Sigmoid")
def sigmoid(step: Step, i: int) -> Term:
    """x̄ = ȳ·y·(1 − y)."""
    y = step.y()
    return step.dy * (y * (1.0 - y))


@rule("Softplus")
def softplus(step: Step, i: int) -> Term:
    """x̄ = ȳ·σ(x)."""
    return step.dy * step.op.Sigmoid(step.x(0))


@rule("Relu")
def relu(step: Step, i: int) -> Term:
    """x̄ = ȳ where y > 0, else 0."""
    return step.op.Where(step.op.Greater(step.y(), 0.0), step.dy, 0.0)


@rule("LeakyRelu")
def leaky_relu(step: Step, i: int) -> Term:
    """x̄ = ȳ where x > 0, else α·ȳ."""
    return step.op.Where(step.op.Greater(step.x(0), 0.0), step.dy, step.dy * step.attribute("alpha", 0.01))


@rule("Gelu")
def gelu(step: Step, i: int) -> Term:
    """x̄ = ȳ·(Φ(x) + x·φ(x)), or the tanh approximation's derivative."""
    op, x = step.op, step.x(0)
    if step.attribute("approximate", "none") == "tanh":
        # y = ½·x·(1 + t), t = tanh(c·(x + a·x³))
        a, c, square = 0.044715, math.sqrt(2 / math.pi), x * x
        t = op.Tanh(x * (square * (a * c) + c))
        inner = square * (3 * a * c) + c
        return step.dy * ((t + 1.0) * 0.5 + (1.0 - t * t) * (x * 0.5) * inner)
    cdf = op.Erf(x * math.sqrt(0.5)) * 0.5 + 0.5
    pdf = op.Exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))
    return step.dy * (cdf + x * pdf)


@rule("Softmax")
def softmax(step: Step, i: int) -> Term:
    """x̄ = y·(ȳ − Σ ȳ·y)."""
    op, y = step.op, step.y()
    axis = step.attribute("axis", -1)
    return y * (step.dy - op.ReduceSum(step.dy * y, [axis], keepdims=1))


@rule("LogSoftmax")
def log_softmax(step: Step, i: int) -> Term:
    """x̄ = ȳ − exp(y)·Σ ȳ."""
    op = step.op
    axis = step.attribute("axis", -1)
    return step.dy - op.Exp(step.y()) * op.ReduceSum(step.dy, [axis], keepdims=1)
