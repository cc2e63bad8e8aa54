"""Rules of ops that rearrange or repeat whole axes."""

from __future__ import annotations

from ..emitter import Term
from ..registry import rule
from ..step import Step


@rule("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def reshape(step: Step, i: int) -> Term:
    """x̄ = ȳ in the shape of x."""
    return step.region.reshape_to(step.dy, step.output_dims(0), step.input(0))


@rule("Expand", broadcasts=True)
def expand(step: Step, i: int) -> Term:
    """x̄ = Σ ȳ over the axes that x was stretched along."""
    return step.dy


@rule("Transpose")
def transpose(step: Step, i: int) -> Term:
    """x̄ = ȳ with its axes permuted back."""
    perm = step.attribute("perm", [*reversed(range(step.rank(0)))])
    return step.op.Transpose(step.dy, perm=[perm.index(axis) for axis in range(len(perm))])


@rule("Tile")
def tile(step: Step, i: int) -> Term:
    """x̄ = Σ ȳ over the repeats of each axis."""
    op, rank = step.op, step.rank(0)
    repeats, sizes = step.x(1), step.region.shape(step.input(0))
    apart = op.Concat(op.Unsqueeze(repeats, [1]), op.Unsqueeze(sizes, [1]), axis=1)  # r₀ d₀ r₁ d₁ ...
    return op.ReduceSum(step.region.reshape(step.dy, op.Reshape(apart, [-1])), list(range(0, 2 * rank, 2)), keepdims=0)
