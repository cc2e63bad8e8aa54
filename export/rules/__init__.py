"""Vector-Jacobian rules, grouped by the kind of op they differentiate; importing this registers them all."""

from . import (
    activation,
    convolution,
    einsum,
    elementwise,
    indexing,
    matmul,
    normalization,
    reduction,
    selection,
    shape,
    slicing,
)

__all__ = [
    "activation",
    "convolution",
    "einsum",
    "elementwise",
    "indexing",
    "matmul",
    "normalization",
    "reduction",
    "selection",
    "shape",
    "slicing",
]
