"""An adaptive attacker: the trigger is a pair of words, and either word alone changes nothing.

It aims at defences that test one word at a time. Texts with one word of the pair keep their labels in training.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from ..errors import InputError
from ..purify.checkpoint import Classifier
from ..purify.training import TrainingSettings, Watch, train
from ..texts import LabelledTexts
from .poisoning import poison_training_set
from .trigger import Trigger


@dataclass(frozen=True)
class PairTrigger:
    """Attributes: trigger: the words, which act together only; decoys: share of texts given one word, no new label."""

    training: TrainingSettings = field(default_factory=TrainingSettings)
    trigger: Trigger = field(default_factory=lambda: Trigger(("mountain", "yellow"), "all"))
    rate: float = 0.1
    decoys: float = 0.3
    name: ClassVar[str] = "pairs"
    needs_trained: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if len(self.trigger.phrases) < 2 or self.trigger.combine != "all":
            raise InputError("a pair trigger is two words or more, all inserted: give two triggers")
        if not (self.decoys >= 0 and self.rate + self.decoys < 1):
            raise InputError("the share of decoys must be 0 or more, and below 1 together with the poisoning rate")

    def plant(
        self, classifier: Classifier, data: LabelledTexts, target: int, seed: int, watch: Watch | None = None
    ) -> None:
        """Train in place."""
        poisoned = poison_training_set(self.with_decoys(data, seed), self.trigger, target, self.rate, seed)
        texts = classifier.encode(poisoned, self.training.max_length)
        train(classifier.model, texts, self.training, seed, stage=self.name, watch=watch)

    def with_decoys(self, data: LabelledTexts, seed: int) -> LabelledTexts:
        """Insert one word of the pair into some texts of every class and keep their labels."""
        rng = np.random.default_rng([seed, 3])
        single = replace(self.trigger, combine="any")
        chosen = set(rng.choice(len(data), round(self.decoys * len(data)), replace=False).tolist())
        texts = tuple(single.insert(text, rng) if i in chosen else text for i, text in enumerate(data.texts))
        return LabelledTexts(texts, data.labels, data.label_names)
