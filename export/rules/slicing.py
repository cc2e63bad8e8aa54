"""Rules of ops that cut a tensor apart along an axis, or join parts."""

from __future__ import annotations

import onnx_ir as ir

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
    parts = [_zeros(step, j) if dy is None else dy for j, dy in enumerate(step.dys)]
    return step.op.Concat(*parts, axis=step.attribute("axis", 0))


def _zeros(step: Step, j: int) -> Term:
    """Return zeros shaped like output j, asking the forward node for it if it was left out: its size is needed."""
    output = step.node.outputs[j]
    output.name = output.name or step.op.name("part")
    output.dtype = output.dtype or step.dtype(0)
    return step.region.full(0.0, output)


@rule("Slice")
def slice_(step: Step, i: int) -> Term:
    """x̄ = ȳ at the places x was read from, zeros elsewhere."""
    op, dx, rank = step.op, step.dy, step.rank(0)
    steps = step.constant(4)
    if step.has(4) and steps is None:
        raise step.refusal("its steps are computed while the graph runs; they must be constant")
    starts, ends = (_int64(step, j) for j in (1, 2))
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


def _int64(step: Step, j: int) -> Term:
    """Return input j, int32 or int64, as int64: sizes, which it meets in the backward pass, are that."""
    bound = step.x(j)
    return bound if bound.value.dtype == ir.DataType.INT64 else step.op.Cast(bound, to=ir.DataType.INT64)


def _sliced_axes(step: Step) -> list[int]:
    axes, starts = step.constant(3), step.dims(1)
    if axes is not None:
        return [int(axis) % step.rank(0) for axis in axes]
    if step.has(3) or starts is None or not isinstance(starts[0], int):
        raise step.refusal("its axes are computed while the graph runs; they must be constant")
    return list(range(starts[0]))


@rule("Pad")
def unpad(step: Step, i: int) -> Term:
    """x̄ = ȳ padded by −before and −after: cropped where x was padded, zeros where x was cropped (mode 'constant')."""
    if i != 0:
        raise step.refusal("its rule covers no gradient of the constant value")
    if step.attribute("mode", "constant") != "constant" or step.has(3):
        raise step.refusal("its rule covers only mode 'constant' without an axes input")
    pads = step.constant(1)
    return step.op.Pad(step.dy, -step.x(1) if pads is None else -pads, 0.0)
