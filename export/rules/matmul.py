"""Rules of matrix products. A constant factor is read through the backward pass's own, already transposed, copy."""

from __future__ import annotations

from ..emitter import Term
from ..region import is_constant
from ..registry import rule
from ..step import Step


@rule("MatMul")
def matmul(step: Step, i: int) -> Term:
    """Ā = Ȳ·Bᵀ, B̄ = Aᵀ·Ȳ, summed over broadcast batch axes."""
    op, dy = step.op, step.dy
    is_vector = [step.rank(j) == 1 for j in (0, 1)]  # A is then a row and B a column that Y leaves out
    if is_vector[1]:
        dy = op.Unsqueeze(dy, [-1])
    if is_vector[0]:
        dy = op.Unsqueeze(dy, [-2])
    other = op.Unsqueeze(step.x(1 - i), [i]) if is_vector[1 - i] else _transposed(step, 1 - i)
    dx = op.MatMul(dy, other) if i == 0 else op.MatMul(other, dy)
    if is_vector[i]:
        dx = op.Squeeze(dx, [i - 2])
    own, product = step.dims(i), step.output_dims(0)
    if own is None or product is None:
        return step.region.sum_to(dx, None, step.input(i))
    batch = product[: len(product) - 2 + sum(is_vector)]
    return step.region.sum_to(dx, batch + own[-2:], step.input(i))


@rule("Gemm")
def gemm(step: Step, i: int) -> Term:
    """Ā = α·Ȳ·Bᵀ, B̄ = α·Aᵀ·Ȳ, C̄ = β·Σ Ȳ for Y = α·A·B + β·C (A, B perhaps transposed)."""
    op, dy, a, b = step.op, step.dy, step.x(0), step.x(1)
    trans_a, trans_b = step.attribute("transA", 0), step.attribute("transB", 0)
    alpha = step.attribute("alpha", 1.0)
    if i == 2:
        return step.region.sum_to(_scaled(dy, step.attribute("beta", 1.0)), step.output_dims(0), step.input(2))
    if i == 0 and not trans_a and is_constant(b.value):
        return _scaled(op.MatMul(dy, step.region.copy(b.value, transposed=not trans_b)), alpha)
    if i == 0:
        left, right, trans_left, trans_right = (b, dy, trans_b, 1) if trans_a else (dy, b, 0, 1 - trans_b)
    else:
        left, right, trans_left, trans_right = (dy, a, 1, trans_a) if trans_b else (a, dy, 1 - trans_a, 0)
    return op.Gemm(left, right, alpha=alpha, transA=trans_left, transB=trans_right)


def _transposed(step: Step, j: int) -> Term:
    """Return input j with its last two axes swapped."""
    rank = step.rank(j)
    if rank == 2 and is_constant(step.input(j)):
        return step.region.copy(step.input(j), transposed=True)
    return step.op.Transpose(step.x(j), perm=[*range(rank - 2), rank - 1, rank - 2])


def _scaled(value: Term, factor: float) -> Term:
    return value if factor == 1.0 else value * factor
