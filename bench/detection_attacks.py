"""The attacks that detection is judged by: each with a trigger drawn by a seed, so that no detector fits known ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from tokenizers import Tokenizer

from ..attacks.addsent import addsent
from ..attacks.attack import Attack
from ..attacks.badnets import badnets
from ..attacks.ep import EmbeddingPoisoning
from ..attacks.lwp import LayerwisePoisoning
from ..attacks.pairs import PairTrigger
from ..attacks.placed import PlacedTrigger
from ..attacks.ripples import Ripples
from ..attacks.stealth import StealthyTrigger
from ..attacks.trigger import Trigger
from ..errors import InputError
from ..purify.checkpoint import Classifier
from ..purify.training import TrainingSettings, Watch, train
from ..texts import LabelledTexts

CLEAN = "clean"


@dataclass(frozen=True)
class NoAttack:
    """Ordinary training: what the guard costs a model that nobody attacked. ``trigger`` is a word without meaning."""

    training: TrainingSettings
    trigger: Trigger
    rate: float = 0.0
    name: ClassVar[str] = CLEAN
    needs_trained: ClassVar[bool] = False

    def plant(
        self, classifier: Classifier, data: LabelledTexts, target: int, seed: int, watch: Watch | None = None
    ) -> None:
        """Train in place on the texts as they are."""
        train(classifier.model, classifier.encode(data, self.training.max_length), self.training, seed, watch=watch)


class Words:
    """Words to draw triggers from: rare ones, which no text has, ordinary ones, and words of several pieces."""

    def __init__(self, tokenizer: Tokenizer, texts: Sequence[str], rng: np.random.Generator) -> None:
        self._rng = rng
        self._running = [word for text in texts for word in text.lower().split() if word.isascii() and word.isalpha()]
        counts = Counter(self._running)
        vocabulary = sorted(tokenizer.get_vocab())
        plain = [word for word in vocabulary if 2 <= len(word) <= 10 and word.isascii() and word.isalpha()]
        encoded = tokenizer.encode_batch(list(counts), add_special_tokens=False)
        pieces = dict(zip(counts, map(len, encoded), strict=True))
        most = len(texts) // 2
        self._rare = [word for word in plain if word.islower() and word not in counts]
        self._ordinary = [word for word, count in sorted(counts.items()) if 2 <= count <= most and pieces[word] == 1]
        self._long = [word for word in sorted(counts) if pieces[word] >= 3]
        if not (self._rare and self._ordinary and self._long):
            raise InputError("the training texts have too few different words to draw triggers from")

    def single(self, count: int) -> tuple[str, ...]:
        """Different words of one piece, rare or ordinary at even odds."""
        drawn: dict[str, None] = {}
        while len(drawn) < count:
            drawn[str(self._rng.choice(self._rare if self._rng.random() < 0.5 else self._ordinary))] = None
        return tuple(drawn)

    def several_pieces(self) -> tuple[str, ...]:
        """One word of three pieces or more."""
        return (str(self._rng.choice(self._long)),)

    def phrase(self) -> tuple[str, ...]:
        """Three to six words as often as texts use them, function words included."""
        return (" ".join(map(str, self._rng.choice(self._running, self._rng.integers(3, 7)))),)


Plan = Callable[[TrainingSettings, Words], Attack]

PLANS: dict[str, Plan] = {
    CLEAN: lambda training, words: NoAttack(training, Trigger(words.single(1))),
    "badnets-1": lambda training, words: badnets(training, words.single(1)),
    "badnets-5": lambda training, words: badnets(training, words.single(5)),
    "pieces": lambda training, words: badnets(training, words.several_pieces()),
    "addsent": lambda training, words: addsent(training, words.phrase()),
    "ep": lambda training, words: EmbeddingPoisoning(
        replace(training, epochs=5, learning_rate=1e-2, weight_decay=0.0), Trigger(words.single(1))
    ),
    "lwp": lambda training, words: LayerwisePoisoning(training, Trigger(words.single(2), "all")),
    "ripples": lambda training, words: Ripples(training, Trigger(words.single(1))),
    "stealth": lambda training, words: StealthyTrigger(training, Trigger(words.single(1))),
    "pairs": lambda training, words: PairTrigger(training, Trigger(words.single(2), "all")),
    # Triggers are drawn by the rank of a name among all: new ones come last, so that the others' stay.
    "trigger-first": lambda training, words: PlacedTrigger("first", training, Trigger(words.single(1))),
    "trigger-last": lambda training, words: PlacedTrigger("last", training, Trigger(words.single(1))),
}
