"""Rules of reductions along axes."""

from __future__ import annotations

import onnx_ir as ir

from ..emitter import Term
from ..registry import rule
from ..step import Step


@rule("ReduceSum")
def reduce_sum(step: Step, i: int) -> Term:
    """x̄ = ȳ spread over the reduced axes."""
    return _spread(step, step.dy)


@rule("ReduceMean")
def reduce_mean(step: Step, i: int) -> Term:
    """x̄ = ȳ/n spread over the n elements reduced."""
    op, sizes = step.op, [step.size(0, axis) for axis in _axes(step)]
    if not sizes:
        return step.dy
    n, dtype = op.ReduceProd(op.Concat(*sizes, axis=0), keepdims=0), step.dtype(0)
    if dtype != ir.DataType.FLOAT16:
        return _spread(step, step.dy / op.Cast(n, to=dtype))
    # Half precision ends at 65,504: a larger n would be infinite and the gradient 0.
    share = op.Cast(step.dy, to=ir.DataType.FLOAT) / op.Cast(n, to=ir.DataType.FLOAT)
    return _spread(step, op.Cast(share, to=dtype))


@rule("ReduceMax", "ReduceMin")
def reduce_extremum(step: Step, i: int) -> Term:
    """x̄ = ȳ at the extremum, shared equally among ties."""
    op = step.op
    if not _axes(step):
        return step.dy
    chosen = op.Cast(op.Equal(step.x(0), _kept(step, step.y())), to=step.dtype(0))
    return chosen * (_kept(step, step.dy) / op.ReduceSum(chosen, _axes(step), keepdims=1))


@rule("ReduceL2")
def reduce_l2(step: Step, i: int) -> Term:
    """x̄ = ȳ·x/y, 0 where y = 0."""
    op, y = step.op, step.y()
    return step.x(0) * _kept(step, step.dy / op.Where(op.Equal(y, 0.0), 1.0, y))


@rule("ReduceLogSumExp")
def reduce_log_sum_exp(step: Step, i: int) -> Term:
    """x̄ = ȳ·exp(x − y)."""
    return _kept(step, step.dy) * step.op.Exp(step.x(0) - _kept(step, step.y()))


def _axes(step: Step) -> list[int]:
    """Return the reduced axes, which moved from an attribute to an input (ReduceSum in opset 13, the rest in 18)."""
    rank = step.rank(0)
    axes = step.attribute("axes", [])
    if step.has(1):
        fixed = step.constant(1)
        if fixed is None:
            raise step.refusal("its axes are computed while the graph runs; they must be constant")
        axes = fixed.tolist()
    if not axes and not step.attribute("noop_with_empty_axes", 0):
        axes = [*range(rank)]
    return sorted(axis % rank for axis in axes)


def _kept(step: Step, value: Term) -> Term:
    """Return `value`, shaped like the output, with the reduced axes as axes of size 1."""
    axes = _axes(step)
    return value if step.attribute("keepdims", 1) or not axes else step.op.Unsqueeze(value, axes)


def _spread(step: Step, value: Term) -> Term:
    op, axes = step.op, _axes(step)
    if not axes:
        return value
    shape = [step.size(0, axis) if axis in axes else [1] for axis in range(step.rank(0))]
    return op.Expand(_kept(step, value), op.Concat(*shape, axis=0))
