"""Drift of the scores of served texts against those of calibration: the population stability index."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque

from ..artifact import GateFit
from .gates import AnomalyGate, Gate, calibrated_score

LEAST_SHARE = 0.05  # of the calibration texts in one bin: thinner ones make the index noise
WINDOW = 2000
LEAST_TEXTS = 200


class Drift:
    """The index over the latest texts, PSI = Σ_b (q_b − p_b) · ln(q_b / p_b).

    p are the shares of the calibration texts in each bin, q those of the served texts, both with half a text added to
    every bin so that none is empty. By custom under 0.1 is stable and over 0.25 means: calibrate again.

    Args:
        gate, fit: the gate and its histogram. Where texts under the threshold may go unscored (:class:`AnomalyGate`),
            only the share of suspicious texts is compared.
        window: texts looked back on.
    """

    def __init__(self, gate: Gate, fit: GateFit, window: int = WINDOW) -> None:
        self._fit = fit
        self._edges, self._expected = _halves(fit) if isinstance(gate, AnomalyGate) else _bins(fit)
        self._window: deque[int] = deque()
        self._size = window
        self._seen = [0] * len(self._expected)

    def observe(self, score: float | None, length: int) -> None:
        """Count the score of a text of ``length`` tokens; None if proved to be under the threshold.

        Scores that are not finite, and zeros, which mean that nothing in the text can be suspected, do not count.
        """
        if score is None:
            place = 0
        elif score and math.isfinite(score):
            place = bisect_right(self._edges, calibrated_score(score, length, self._fit))
        else:
            return
        self._window.append(place)
        self._seen[place] += 1
        if len(self._window) > self._size:
            self._seen[self._window.popleft()] -= 1

    @property
    def index(self) -> float:
        """The index; NaN before ``LEAST_TEXTS`` texts."""
        if len(self._window) < LEAST_TEXTS:
            return math.nan
        return stability_index(self._expected, self._seen)


def stability_index(expected: list[int], seen: list[int]) -> float:
    """PSI of counts per bin."""
    p = [(count + 0.5) / (sum(expected) + 0.5 * len(expected)) for count in expected]
    q = [(count + 0.5) / (sum(seen) + 0.5 * len(seen)) for count in seen]
    return sum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))


def _bins(fit: GateFit) -> tuple[list[float], list[int]]:
    """Inner edges and counts of the histogram, neighbouring bins joined until each is thick enough."""
    least = LEAST_SHARE * sum(fit.histogram.counts)
    edges: list[float] = []
    joined = [0]
    for lower, count in zip(fit.histogram.edges, fit.histogram.counts, strict=False):
        if joined[-1] >= least:
            edges.append(lower)
            joined.append(0)
        joined[-1] += count
    if edges and joined[-1] < least:
        edges.pop()
        joined[-2:] = [sum(joined[-2:])]
    return edges, joined


def _halves(fit: GateFit) -> tuple[list[float], list[int]]:
    """The threshold as the only edge, for scores that are not computed below it."""
    texts = sum(fit.histogram.counts)
    below = round(texts * fit.percentile / 100)
    return [fit.threshold], [below, texts - below]
