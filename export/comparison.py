"""How far a graph's outputs are from what they should be, and in which units."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.reference import Bools, Real

TOLERANCE = 1e-4
TINY = 1e-9  # what is divided by where everything is zero


def error_in(unit: float, got: NDArray[Any], expected: NDArray[Any]) -> float:
    """Largest difference in units of ``unit``; 0 where there is nothing to compare, NaN where either has one."""
    return float(np.abs(got - expected).max(initial=0.0)) / max(unit, TINY)


def largest(values: NDArray[Any]) -> float:
    """Largest absolute value."""
    return float(np.abs(values).max(initial=0.0))


def score_unit(received: Real, salient: Real, scored: Bools) -> float:
    """max (max_T r + mean_T r) · (max_T s / mean_T s) over texts [batch, sequence]: the unit of token scores' errors.

    A score is a multiple of the difference r − mean r. Where attention is nearly even, as in a model that was hardly
    trained, the difference is far smaller than its terms, and is exact to their rounding, not to its own size.
    """
    count = np.maximum(scored.sum(axis=1), 1)
    r, s = (np.where(scored, values, 0.0).astype(np.float64) for values in (received, salient))
    mean_r, mean_s = r.sum(axis=1) / count, s.sum(axis=1) / count
    texts = (r.max(axis=1) + mean_r) * np.divide(s.max(axis=1), mean_s, out=np.zeros_like(mean_s), where=mean_s > 0)
    return float(texts.max(initial=0.0))
