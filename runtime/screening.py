"""Screening: the strongest words and run of words of texts that no gate raises, tried where the model is sure.

A trigger need not draw attention: one that lives in a single row of the embeddings (EP) or in the first layers (LWP)
may draw little more than an ordinary word. But it has to outweigh whatever else a text says, so the model is as sure
of its texts as of the surest clean ones, or it is surer than of most and the text stands out a little, too; and the
trigger is among the strongest words. One transplant of all of them tells most of the clean texts apart.

With a gate that reads all layers, the two look at 23 % of clean texts again, and at 95 to 100 % of those that a trigger
won in six models (MiniLM with BadNets, EP and LWP, three small ones that were trained from nothing). When the gate read
the last layer alone, 37 % and 60 to 100 % it was, with the surest 15 % of the texts and more than half that stood out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..artifact import Calibration
from .budget import Budget, within
from .gates import Gate, clean_percentile, excess
from .reading import Asking, Reading
from .transplant import Transplants

# Of clean margins: from where the model is sure enough of a text whatever it looks like, and from where of one that
# stands out more than so many of the clean texts.
SURE, MIDDLING, STANDING_OUT = 95.0, 50.0, 70.0


def margin(reading: Reading) -> float:
    """How sure the model is: its best logit minus the next."""
    runner_up, best = np.sort(reading.logits)[-2:]
    return float(best - runner_up)


def clean_margins(readings: Sequence[Reading], classes: int, percentile: float) -> tuple[float, ...]:
    """For each class, the margin that ``percentile`` of the clean texts answered with it stay under.

    0 for a class that no clean text is answered with: then every such answer is screened.
    """
    by_class = [[margin(reading) for reading in readings if reading.predicted == label] for label in range(classes)]
    return tuple(float(np.percentile(margins, percentile)) if margins else 0.0 for margins in by_class)


class Screen:
    """Screens texts of one artifact.

    Args:
        gate: of the class token.
        calibration: of the artifact; one without ``middling`` margins screens by ``sure`` ones alone.
        transplants, budget: of the artifact.
    """

    def __init__(self, gate: Gate, calibration: Calibration, transplants: Transplants, budget: Budget) -> None:
        self._sure = calibration.sure
        self._middling = calibration.middling or calibration.sure
        self._fit = calibration.gates["class_token"]
        self._ordinary = clean_percentile(self._fit, STANDING_OUT) - self._fit.threshold
        self._transplants = transplants
        self._budget = budget
        self._gate = gate

    def due(self, reading: Reading) -> tuple[int, ...]:
        """The words of a text that is to be screened, strongest first; none where it is not."""
        label, lead = reading.predicted, margin(reading)
        if lead < min(self._middling[label], self._sure[label]) or not self._transplants.can_try(label):
            return ()
        score = self._gate.score(reading)
        if lead < self._sure[label] and excess(score, len(reading.encoding), self._fit) < self._ordinary:
            return ()
        return self._transplants.suspects(reading, score.words)

    def rankings(self, rest: Reading) -> list[tuple[int, ...]]:
        """Words that are left of a screened text, strongest first; no ranking where none of them is a suspect."""
        words = self._transplants.suspects(rest, self._gate.score(rest).words)
        return [words] if words else []

    def suspicious(self, reading: Reading, ranking: Sequence[int]) -> Asking[bool | None]:
        """Whether the first words and the run of words turn a reference; None where the budget is spent."""
        words = self._transplants.strongest(reading, [ranking])
        sets = [words, *self._transplants.ends(reading, [ranking])]
        foreseen, _ = yield from within(self._budget, self._transplants.foresee(reading, sets))
        return None if foreseen is None else any(self._transplants.turning(reading, each, foreseen[0]) for each in sets)

    def acting_ends(self, reading: Reading) -> Asking[list[int] | None]:
        """Which of the words that begin and end a text turn all references; None where the budget is spent.

        A word that acts nowhere else is found by no scan, and may draw little attention. It is asked of every text in
        which it is among the strongest: the model need not be sure.
        """
        transplants, settings = self._transplants, self._transplants.settings
        able = transplants.can_try(reading.predicted)
        ends = transplants.ends(reading, [self._gate.score(reading).words]) if able else []
        for count in (1, settings.probes, settings.references):
            foreseen, _ = yield from within(self._budget, transplants.foresee(reading, ends, count))
            if foreseen is None:
                return None
            ends = [words for words in ends if all(transplants.tried_so_far(reading, words, foreseen[0]).turned)]
        return [word for (word,) in ends]
