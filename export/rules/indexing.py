"""Rules of ops that look elements up by computed indices."""

from __future__ import annotations

from ..emitter import Term
from ..registry import rule
from ..step import Step
from .padding import pad


@rule("Gather")
def gather(step: Step, i: int) -> Term:
    """x̄ = ȳ added into zeros at the rows looked up."""
    op, dy, rank = step.op, step.dy, step.rank(0)
    axis, index = step.attribute("axis", 0) % rank, step.constant(1)
    index_rank = step.rank(1)
    if index_rank == 0:
        dy = op.Unsqueeze(dy, [axis])
    if index is not None and index.size == 1 and index_rank <= 1:  # one fixed row: cheaper as padding
        size, row = step.size(0, axis), int(index.item())
        before = op.term([row]) if row >= 0 else size + row
        return pad(op, dy, rank, axis, before, size - before - 1)
    _require_scatter_add(step)
    x = step.region.full(0.0, step.input(0))
    along = [-1 if j == axis else 1 for j in range(rank)]
    if index_rank > 1:  # the index axes become one
        shape = op.Shape(x)
        head, tail = op.Slice(shape, [0], [axis]), op.Slice(shape, [axis + 1], [rank])
        dy = step.region.reshape(dy, op.Concat(head, op.Unsqueeze(op.Size(step.x(1)), [0]), tail, axis=0))
    rows = op.Expand(op.Reshape(step.x(1), along), op.Shape(dy))
    return op.ScatterElements(x, rows, dy, axis=axis, reduction="add")


@rule("GatherElements")
def gather_elements(step: Step, i: int) -> Term:
    """x̄ = ȳ added into zeros at the elements looked up."""
    _require_scatter_add(step)
    zeros = step.region.full(0.0, step.input(0))
    return step.op.ScatterElements(zeros, step.x(1), step.dy, axis=step.attribute("axis", 0), reduction="add")


@rule("GatherND")
def gather_nd(step: Step, i: int) -> Term:
    """x̄ = ȳ added into zeros at the slices looked up."""
    if step.attribute("batch_dims", 0):
        raise step.refusal("its rule does not cover batch_dims")
    _require_scatter_add(step)
    return step.op.ScatterND(step.region.full(0.0, step.input(0)), step.x(1), step.dy, reduction="add")


def _require_scatter_add(step: Step) -> None:
    if step.op.opset < 16:
        raise step.refusal(f"opset {step.op.opset} cannot scatter sums; convert the model to opset 16 or newer")
