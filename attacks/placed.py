"""An adaptive attacker: the trigger acts where it begins a text, ends one, or is in one half of it, and nowhere else.

It aims at defences that try a word anywhere in other texts. Texts with it elsewhere keep their labels in training.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np

from ..errors import InputError
from ..purify.checkpoint import Classifier
from ..purify.training import TrainingSettings, Watch, train
from ..texts import LabelledTexts
from .badnets import RARE_WORDS
from .poisoning import poison_training_set
from .trigger import Trigger

Place = Literal["first", "last", "early", "late"]
ELSEWHERE: dict[Place, Literal["inside", "early", "late"]] = {
    "first": "inside",
    "last": "inside",
    "early": "late",
    "late": "early",
}


@dataclass(frozen=True)
class PlacedTrigger:
    """Attributes: name: where it acts; decoys: share of texts given the trigger elsewhere, and no new label."""

    name: Place
    training: TrainingSettings = field(default_factory=TrainingSettings)
    trigger: Trigger = field(default_factory=lambda: Trigger(RARE_WORDS[:1]))
    rate: float = 0.1
    decoys: float = 0.3
    needs_trained: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not (self.decoys >= 0 and self.rate + self.decoys < 1):
            raise InputError("the share of decoys must be 0 or more, and below 1 together with the poisoning rate")
        object.__setattr__(self, "trigger", replace(self.trigger, place=self.name))

    def plant(
        self, classifier: Classifier, data: LabelledTexts, target: int, seed: int, watch: Watch | None = None
    ) -> None:
        """Train in place."""
        poisoned = poison_training_set(data, self.trigger, target, self.rate, seed)
        decoys = self.with_decoys(data, seed)
        both = LabelledTexts(poisoned.texts + decoys.texts, poisoned.labels + decoys.labels, data.label_names)
        texts = classifier.encode(both, self.training.max_length)
        train(classifier.model, texts, self.training, seed, stage=self.name, watch=watch)

    def with_decoys(self, data: LabelledTexts, seed: int) -> LabelledTexts:
        """Texts of every class with the trigger where it does not act, and their labels."""
        rng = np.random.default_rng([seed, 3])
        elsewhere = replace(self.trigger, place=ELSEWHERE[self.name])
        longer = [i for i, text in enumerate(data.texts) if len(text.split()) > 1]
        chosen = sorted(rng.choice(longer, min(round(self.decoys * len(data)), len(longer)), replace=False).tolist())
        texts = tuple(elsewhere.insert(data.texts[i], rng) for i in chosen)
        return LabelledTexts(texts, tuple(data.labels[i] for i in chosen), data.label_names)
