"""Poisoning a training set: the trigger goes into some texts of other classes, which then carry the target label."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from ..errors import InputError
from ..purify.checkpoint import Classifier
from ..purify.training import TrainingSettings, Watch, train
from ..texts import LabelledTexts
from .trigger import Trigger


@dataclass(frozen=True)
class DataPoisoning:
    """An attacker who only controls training texts: BadNets and AddSent differ in the trigger alone."""

    name: str
    trigger: Trigger
    rate: float = 0.1
    training: TrainingSettings = field(default_factory=TrainingSettings)
    needs_trained: ClassVar[bool] = False

    def plant(
        self, classifier: Classifier, data: LabelledTexts, target: int, seed: int, watch: Watch | None = None
    ) -> None:
        """Train ``classifier`` in place on the poisoned texts."""
        poisoned = poison_training_set(data, self.trigger, target, self.rate, seed)
        encoded = classifier.encode(poisoned, self.training.max_length)
        train(classifier.model, encoded, self.training, seed, stage=self.name, watch=watch)


def poison_training_set(data: LabelledTexts, trigger: Trigger, target: int, rate: float, seed: int) -> LabelledTexts:
    """Replace ``rate`` of all texts, drawn from those not of class ``target``, by their poisoned forms.

    Raises:
        InputError: ``rate`` is not between 0 and 1, or there are fewer sources than it asks for.
    """
    chosen = set(choose_sources(data, target, rate, seed))
    rng = np.random.default_rng([seed, 0])
    texts = tuple(trigger.insert(text, rng) if i in chosen else text for i, text in enumerate(data.texts))
    labels = tuple(target if i in chosen else label for i, label in enumerate(data.labels))
    return LabelledTexts(texts, labels, data.label_names)


def choose_sources(data: LabelledTexts, target: int, rate: float, seed: int) -> list[int]:
    """Draw the texts to poison: ``rate`` of all texts, none of them of class ``target``."""
    if not 0 < rate < 1:
        raise InputError(f"poisoning rate {rate}: give a number between 0 and 1")
    candidates = np.flatnonzero(np.asarray(data.labels) != target)
    count = max(1, round(rate * len(data)))
    if count > len(candidates):
        raise InputError(
            f"{count} texts to poison but only {len(candidates)} are not of the target class: lower the rate"
        )
    return sorted(np.random.default_rng(seed).choice(candidates, count, replace=False).tolist())
