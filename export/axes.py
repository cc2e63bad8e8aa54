"""What the axes of a classifier's values are called, and how they are read when they are folded."""

from __future__ import annotations

import re

import onnx_ir as ir

from .region import Dim, dims

BATCH, SEQUENCE = "batch", "sequence"


def has_sequence(value: ir.Value) -> bool:
    """Whether an axis of ``value`` runs over the tokens, alone or folded with another."""
    return any(isinstance(d, str) and SEQUENCE in d for d in dims(value) or ())


def fold(dim: Dim) -> int | None:
    """Factor k of an axis ``k*batch`` in which heads are folded into the batch; 1 for the batch axis itself."""
    if dim == BATCH:
        return 1
    match = re.fullmatch(rf"(\d+)\*{BATCH}|{BATCH}\*(\d+)", str(dim))
    return int(match[1] or match[2]) if match else None
