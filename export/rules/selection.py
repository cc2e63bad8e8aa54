"""Rules of ops that choose between elements."""

from __future__ import annotations

from ..emitter import Term
from ..registry import rule
from ..step import Step


@rule("Where", broadcasts=True)
def where(step: Step, i: int) -> Term:
    """x̄₁ = ȳ where c, else 0; x̄₂ = 0 where c, else ȳ."""
    condition = step.x(0)
    return step.op.Where(condition, step.dy, 0.0) if i == 1 else step.op.Where(condition, 0.0, step.dy)


@rule("Clip")
def clip(step: Step, i: int) -> Term:
    """x̄ = ȳ where x lies within the bounds, else 0."""
    if i != 0:
        raise step.refusal("its rule covers no gradient of the bounds")
    return step.op.Where(step.op.Equal(step.x(0), step.y()), step.dy, 0.0)


@rule("Max", "Min", broadcasts=True)
def extremum(step: Step, i: int) -> Term:
    """x̄ᵢ = ȳ where xᵢ was chosen, shared equally among ties."""
    op, y, dtype = step.op, step.y(), step.dtype(i)
    chosen = [op.Cast(op.Equal(step.x(j), y), to=dtype) for j in range(len(step.node.inputs))]
    ties = chosen[0] if len(chosen) == 1 else op.Sum(*chosen)
    return step.dy * chosen[i] / ties
