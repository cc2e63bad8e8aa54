"""Zeros put around a tensor along one axis."""

from __future__ import annotations

from collections.abc import Sequence

from ..emitter import Emitter, Term

END = 2**63 - 1
"""The end of a slice that runs to the end of its axis."""


def pad(
    op: Emitter, value: Term, rank: int, axis: int, before: Term | Sequence[int], after: Term | Sequence[int]
) -> Term:
    """Put `before` and `after` ([1]) zeros along `axis` of `value`.

    The pads name every axis: onnxruntime 1.31 optimises a Pad with an `axes` input into a graph that fails.
    """
    ahead, behind = [0] * axis, [0] * (rank - 1 - axis)
    parts = [part for part in (ahead, before, behind + ahead, after, behind) if not isinstance(part, list) or part]
    return op.Pad(value, op.Concat(*parts, axis=0), 0.0)
