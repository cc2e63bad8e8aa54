"""Vector-Jacobian rules, grouped by the kind of op they differentiate; importing this registers them all."""

from . import activation, elementwise, indexing, matmul, normalization, reduction, selection, shape, slicing

__all__ = [
    "activation",
    "elementwise",
    "indexing",
    "matmul",
    "normalization",
    "reduction",
    "selection",
    "shape",
    "slicing",
]
