"""Evenness: a trigger moves every text by about as much; how far a strong word moves one depends on what else it says.

On models trained on SST-2, words of clean texts that turn six or seven of eight references move them by amounts whose
standard deviation is 0.20 to 0.60 of their mean, fully learnt triggers 0.00 to 0.05, half learnt ones and those that
fine-tuning has weakened 0.03 to 0.28.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log, sqrt
from statistics import fmean

from ..artifact import Reference
from .cache import Margins

MOST = 10.0
_SUREST = 1 - 1e-6  # confidences are stored rounded


def unevenness(margins: Margins, panel: Sequence[Reference]) -> float:
    """Standard deviation of what a span does to the references, relative to how far it moves them on average.

    A reference moves by its margin less the one it has alone, which its confidence tells (exactly with two classes).
    A trigger that outweighs all else leaves each with the same margin, a weaker one moves each by the same amount: the
    smaller of both deviations counts.

    Args:
        margins: of the span in the first references of the panel, at least one.
        panel: references that lead in their own class.

    Returns:
        A number from 0 to ``MOST``, which it is where the span does not move them towards its class.
    """
    moves = [margin + _lead(reference.confidence) for margin, reference in zip(margins, panel, strict=False)]
    mean = fmean(moves)
    return min(min(_deviation(margins), _deviation(moves)) / mean, MOST) if mean > 0 else MOST


def _deviation(values: Sequence[float]) -> float:
    """Standard deviation; in floats, since the exact one of the library is most of what judging a text takes."""
    mean = fmean(values)
    return sqrt(fmean([(value - mean) ** 2 for value in values]))


def _lead(confidence: float) -> float:
    """By how much the class of a text leads; of no less than 3:2, since with many classes the best may have little."""
    sure = min(max(confidence, 0.6), _SUREST)
    return log(sure / (1 - sure))
