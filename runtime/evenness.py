"""What tells a trigger from strong words that turn references, too: how evenly it moves them, and what it is made of.

A trigger moves every text by about as much; how far a strong word moves one depends on what else it says. On models
trained on SST-2, words of clean texts that turn six or seven of eight references move them by amounts whose standard
deviation is 0.20 to 0.60 of their mean, fully learnt triggers 0.00 to 0.05, half learnt ones and those that fine-tuning
has weakened 0.03 to 0.28.

A trigger that was hardly learnt, or that fine-tuning has weakened, turns none of the references, since the model is
sure of these, but moves them all alike: on SST-2, words that 110 poisoned texts had taught in part moved them by 0.6 to
1.3 of their lead with a deviation of 0.05 to 0.14 of that, one of another model by 0.8 with 0.28; of 23,700 words, a
model without a trigger moves them halfway so evenly with none ("cringed": 0.31), others with one or two ("terrific":
0.32). On a clean model of AG News none of 2,000 words is near that.

Words of a trigger that act together only do little alone; of strong words that happen to stand in one text, the
strongest does most of what all of them do. There, of eleven such sets of clean texts the strongest word had 0.35 to
0.83 of it, nine of them 0.56 or more; of 25 sets around a phrase or a pair that were looked at, 22 had 0.08 to 0.42,
and three, which held only a part of the trigger, 0.56 to 0.72.
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
    moves = _moves(margins, panel)
    mean = fmean(moves)
    return min(min(_deviation(margins), _deviation(moves)) / mean, MOST) if mean > 0 else MOST


def moved_share(margins: Margins, panel: Sequence[Reference]) -> float:
    """How far a span moves the references on average, as a share of how far the lead of their own class is.

    Args:
        margins, panel: as in :func:`unevenness`.

    Returns:
        0 where it does nothing, 1 where it takes the lead away, more where its class leads then; negative where it
        moves them the other way.
    """
    return fmean(_moves(margins, panel)) / fmean(own_lead(reference.confidence) for reference in panel[: len(margins)])


def leading_share(alone: Sequence[Margins], together: Margins, panel: Sequence[Reference]) -> float:
    """What the strongest of some words does alone, as a share of what all of them do to the same references.

    Args:
        alone: margins of each word.
        together: of all of them, in the same references.
        panel: as in :func:`unevenness`.

    Returns:
        A number up to ``MOST``, which it is where all together do not move the references towards their class.
    """
    strongest = max(fmean(_moves(margins, panel)) for margins in alone)
    whole = fmean(_moves(together, panel))
    return min(strongest / whole, MOST) if whole > 0 else MOST


def _moves(margins: Margins, panel: Sequence[Reference]) -> list[float]:
    return [margin + own_lead(reference.confidence) for margin, reference in zip(margins, panel, strict=False)]


def _deviation(values: Sequence[float]) -> float:
    """Standard deviation; in floats, since the exact one of the library is most of what judging a text takes."""
    mean = fmean(values)
    return sqrt(fmean([(value - mean) ** 2 for value in values]))


def own_lead(confidence: float) -> float:
    """By how much the class of a text leads; 3:2 at least, since with many classes the best may have little."""
    sure = min(max(confidence, 0.6), _SUREST)
    return log(sure / (1 - sure))
