"""Bootstrap intervals: how much figures would differ with other texts of the same kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def intervals(
    statistic: Callable[[Sequence[Indices]], Mapping[str, float]],
    sizes: Sequence[int],
    draws: int = 1000,
    seed: int = 0,
    coverage: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of several figures at once (Efron 1979).

    Args:
        statistic: figures by name from one array of indices per sample; NaN where a draw does not define one.
        sizes: length of each sample; each is resampled with replacement, on its own.
        draws: number of resamples.
        seed: of the draws.
        coverage: share of the draws inside an interval.

    Returns:
        (low, high) by name; figures that no draw defines are left out.
    """
    generator = np.random.default_rng(seed)
    drawn = [statistic([generator.integers(size, size=size) for size in sizes]) for _ in range(draws)]
    tail = 50 * (1 - coverage)
    found = {}
    for name in drawn[0]:
        values = np.array([figures[name] for figures in drawn], np.float64)
        if not np.isnan(values).all():
            low, high = np.nanpercentile(values, [tail, 100 - tail])
            found[name] = float(low), float(high)
    return found
