"""The lexicon classifier as peers ask it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from tokenward.bench.tally import Tally
from tokenward.runtime.engine import ALWAYS_SKIP
from tokenward.runtime.guard import Guard


class LexiconClassifier:
    """Logits of the backdoored bag of words."""

    def __init__(self, guard: Guard) -> None:
        self._reader = guard.reader
        self.tally = Tally()

    def logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Classifier`."""
        self.tally.forwards += len(texts)
        return np.array([reading.logits for reading in self._reader.read(texts, ALWAYS_SKIP)])


@pytest.fixture
def classifier(lexicon_guard: Guard) -> LexiconClassifier:
    return LexiconClassifier(lexicon_guard)
