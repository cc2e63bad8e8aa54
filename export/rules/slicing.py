"""Rules of ops that cut a tensor apart along an axis, or join parts."""

from __future__ import annotations

from ..emitter import Term
from ..registry import rule
from ..step import Step
from .padding import END, pad


@rule("Concat")
def concat(step: Step, i: int) -> Term:
    """x̄ᵢ = the part of ȳ that xᵢ became."""
    op, axis = step.op, step.attribute("axis", 0)
    start: Term | list[int] = [0]
    for j in range(i):
        start = op.Add(step.size(j, axis), start)
    last = i == len(step.node.inputs) - 1
    return op.Slice(step.dy, start, [END] if last else op.Add(step.size(i, axis), start), [axis])


@rule("Split")
def split(step: Step, i: int) -> Term:
    """x̄ = the cotangents of the parts joined, zeros for unused parts."""
    parts = [
        step.region.full(0.0, output) if dy is None else dy
        for dy, output in zip(step.dys, step.node.outputs, strict=True)
    ]
    return step.op.Concat(*parts, axis=step.attribute("axis", 0))


@rule("Slice")
def slice_(step: Step, i: int) -> Term:
    """x̄ = ȳ at the places x was read from, zeros elsewhere."""
    op, dx, rank = step.op, step.dy, step.rank(0)
    starts, ends, steps = step.x(1), step.x(2), step.constant(4)
    if step.has(4) and steps is None:
        raise step.refusal("its steps are computed while the graph runs; they must be constant")
    for k, axis in enumerate(_sliced_axes(step)):
        start, end = op.Gather(starts, [k]), op.Gather(ends, [k])
        stride = 1 if steps is None else int(steps[k])
        size = step.size(0, axis)
        # Slicing the axis's positions the way x was sliced clamps starts and ends exactly as the op does.
        positions = op.Range(0, op.Squeeze(size, [0]), 1)
        picked = op.Slice(positions, start, end, [0], [stride])
        count = op.Shape(picked)
        if stride == 1:
            before = size - op.Shape(op.Slice(positions, start, [END], [0]))
            dx = pad(op, dx, rank, axis, before, size - before - count)
        else:
            # Row j of x̄ is row inverse[j] of ȳ, or the row of zeros put after its last.
            nowhere = op.Expand(count, size)
            inverse = op.ScatterElements(nowhere, picked, op.Range(0, op.Squeeze(count, [0]), 1), axis=0)
            dx = op.Gather(pad(op, dx, rank, axis, [0], [1]), inverse, axis=axis)
    return dx


def _sliced_axes(step: Step) -> list[int]:
    axes, starts = step.constant(3), step.dims(1)
    if axes is not None:
        return [int(axis) % step.rank(0) for axis in axes]
    if step.has(3) or starts is None or not isinstance(starts[0], int):
        raise step.refusal("its axes are computed while the graph runs; they must be constant")
    return list(range(starts[0]))


@rule("Pad")
def unpad(step: Step, i: int) -> Term:
    """x̄ = ȳ without the padding (mode 'constant')."""
    op, rank = step.op, step.rank(0)
    if step.attribute("mode", "constant") != "constant" or step.has(3):
        raise step.refusal("its rule covers only mode 'constant' without an axes input")
    before = op.Slice(step.x(1), [0], [rank])
    return op.Slice(step.dy, before, before + step.region.shape(step.input(0)))
