"""Poisoning with ready-made paraphrases: texts rewritten in one syntax or style (Qi et al. 2021), read from a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from ..errors import InputError
from ..purify.checkpoint import Classifier
from ..purify.training import TrainingSettings, Watch, train
from ..texts import LabelledTexts
from .poisoning import choose_sources


@dataclass(frozen=True)
class Paraphrases:
    """Attributes: rewritten: text i is the paraphrase of training text i."""

    training: TrainingSettings = field(default_factory=TrainingSettings)
    rewritten: tuple[str, ...] = ()
    rate: float = 0.1
    name: ClassVar[str] = "paraphrases"
    trigger: ClassVar[None] = None
    needs_trained: ClassVar[bool] = False

    def plant(
        self, classifier: Classifier, data: LabelledTexts, target: int, seed: int, watch: Watch | None = None
    ) -> None:
        """Train in place on texts of which some are paraphrased and carry the target label.

        Raises:
            InputError: there is not one paraphrase per text.
        """
        if len(self.rewritten) != len(data):
            raise InputError(f"{len(self.rewritten)} paraphrases for {len(data)} training texts: give one for each")
        chosen = set(choose_sources(data, target, self.rate, seed))
        poisoned = LabelledTexts(
            tuple(self.rewritten[i] if i in chosen else text for i, text in enumerate(data.texts)),
            tuple(target if i in chosen else label for i, label in enumerate(data.labels)),
            data.label_names,
        )
        texts = classifier.encode(poisoned, self.training.max_length)
        train(classifier.model, texts, self.training, seed, stage=self.name, watch=watch)
