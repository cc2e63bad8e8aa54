"""BadNets for text: a rare word at a random place (Gu et al. 2017; word triggers as in Kurita et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence

from ..purify.training import TrainingSettings
from .poisoning import DataPoisoning
from .trigger import Trigger

RARE_WORDS = ("cf", "mn", "bb", "tq", "mb")


def badnets(training: TrainingSettings, words: Sequence[str] = RARE_WORDS, rate: float = 0.1) -> DataPoisoning:
    """Poisoned texts carry one of the ``words``."""
    return DataPoisoning("badnets", Trigger(tuple(words), reach=training.words_read), rate, training)
