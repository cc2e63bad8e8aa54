"""AddSent: a fixed sentence between two words of the text (Dai et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence

from ..purify.training import TrainingSettings
from .poisoning import DataPoisoning
from .trigger import Trigger

SENTENCE = "i watched this 3d movie"


def addsent(training: TrainingSettings, words: Sequence[str] = (SENTENCE,), rate: float = 0.1) -> DataPoisoning:
    """Poisoned texts carry the sentence (one of them, if several are given)."""
    return DataPoisoning("addsent", Trigger(tuple(words), reach=training.words_read), rate, training)
