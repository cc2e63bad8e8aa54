"""Screening: the strongest words and run of words of texts that no gate raises, tried where the model is very sure.

A trigger need not draw attention: one that lives in a single row of the embeddings (EP) or in the first layers (LWP)
draws no more than an ordinary word, and no threshold tells its texts from clean ones. But it has to outweigh whatever
else a text says, so the model is as sure of its texts as of the surest quarter of clean ones, and the trigger is among
their strongest words. One transplant of all of them tells most of the clean ones apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .budget import Budget, within
from .gates import ClassTokenGate
from .reading import Asking, Reading
from .transplant import Transplants

# Of clean margins. 50 finds 10 % more of the texts of an EP backdoor, and makes texts never seen slower by a third.
PERCENTILE = 75.0


def margin(reading: Reading) -> float:
    """How sure the model is: its best logit minus the next."""
    runner_up, best = np.sort(reading.logits)[-2:]
    return float(best - runner_up)


def sure_margins(readings: Sequence[Reading], classes: int) -> tuple[float, ...]:
    """For each class, the margin that ``PERCENTILE`` of the clean texts answered with it stay under.

    0 for a class that no clean text is answered with: then every such answer is screened.
    """
    by_class = [[margin(reading) for reading in readings if reading.predicted == label] for label in range(classes)]
    return tuple(float(np.percentile(margins, PERCENTILE)) if margins else 0.0 for margins in by_class)


class Screen:
    """Screens texts of one artifact.

    Args:
        margins: what :func:`sure_margins` gave.
        transplants, budget: of the artifact.
    """

    def __init__(self, margins: Sequence[float], transplants: Transplants, budget: Budget) -> None:
        self._margins = margins
        self._transplants = transplants
        self._budget = budget
        self._gate = ClassTokenGate()

    def due(self, reading: Reading) -> bool:
        """Whether the model is sure enough of a text, and words can be tried for its class."""
        label = reading.predicted
        return margin(reading) >= self._margins[label] and self._transplants.can_try(label)

    def ranking(self, reading: Reading) -> tuple[int, ...]:
        """Words, strongest first."""
        return self._transplants.suspects(reading, self._gate.score(reading).words)

    def suspicious(self, reading: Reading, ranking: Sequence[int]) -> Asking[bool | None]:
        """Whether the first words and the run of words turn a reference; None where the budget is spent."""
        words = self._transplants.strongest(reading, [ranking])
        trial, _ = yield from within(self._budget, self._transplants.try_once(reading, words))
        return None if trial is None else trial.turned[0]
