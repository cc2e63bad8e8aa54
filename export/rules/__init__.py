"""Vector-Jacobian rules, grouped by the kind of op they differentiate; importing this registers them all."""

from . import (
    activation,
    convolution,
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
    "elementwise",
    "indexing",
    "matmul",
    "normalization",
    "reduction",
    "selection",
    "shape",
    "slicing",
]
