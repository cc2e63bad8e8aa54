"""BTU, backdoor token unlearning: train on a poisoned set, then unlearn the tokens that carry the backdoor.

Jiang et al. 2025, "Backdoor Token Unlearning: Exposing and Defending Backdoors in Pretrained Language Models",
arXiv 2501.03272. Exposing is in :mod:`.exposure`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from ..texts import LabelledTexts
from .checkpoint import Classifier, starting_point
from .exposure import expose
from .foresight import check_classes, known_classes
from .purifier import Purifier, Run
from .training import TrainingSettings


@dataclass(frozen=True)
class BTU(Purifier):
    """Starts from an encoder (or classifier) that never saw the suspect texts, and from those texts.

    Attributes:
        training: the ordinary training on the suspect texts.
        poisoned: the suspect training set.
        share: of the vocabulary that each exposing round suspects.
        exposing_rate: learning rate of the exposing rounds, one epoch each.
        clean_epochs: of the last step, fine-tuning on the clean texts.
    """

    training: TrainingSettings = field(default_factory=TrainingSettings)
    poisoned: LabelledTexts = field(default=LabelledTexts((), (), ()), repr=False)
    share: float = 0.0005
    exposing_rate: float = 1e-3
    clean_epochs: int = 1

    def __post_init__(self) -> None:
        if not self.poisoned.texts:
            raise InputError("BTU needs the suspect training set: give the texts the model was trained on")
        if not 0 < self.share < 1:
            raise InputError(f"BTU's share of the vocabulary is {self.share}: give a number between 0 and 1")
        if not 0 < self.exposing_rate < math.inf or self.clean_epochs < 1:
            raise InputError("BTU's exposing_rate must be a positive number, its clean_epochs at least 1")

    @property
    def name(self) -> str:
        """What reports call it."""
        return "btu"

    def classes(self, model_dir: str | Path) -> dict[int, str]:
        """The start's own, or those of the suspect texts, which must be fit to train on."""
        classes = known_classes(model_dir, self.poisoned)
        check_classes(self.poisoned, classes)
        return classes

    def revised(self, revise: Callable[[LabelledTexts], LabelledTexts]) -> BTU:
        """The same with the suspect texts revised."""
        return replace(self, poisoned=revise(self.poisoned))

    def suspect(self, run: Run) -> Classifier:
        """Train on the suspect texts, as their owner would have."""
        classifier, poisoned = starting_point(run.model_dir, self.poisoned, run.seed)
        texts = classifier.encode(poisoned, self.training.max_length)
        run.train(classifier.model, texts, self.training, "ordinary training")
        return classifier

    def clean(self, suspect: Classifier, clean: LabelledTexts, run: Run) -> tuple[Classifier, dict[str, Any]]:
        """Expose on a fresh copy of the start, unlearn in the suspect model, and fine-tune it."""
        start, poisoned = starting_point(run.model_dir, self.poisoned, run.seed)
        before = start.word_embeddings.weight.detach().clone()
        special = set(start.tokenizer.all_special_ids)
        # Weight decay would move every row, so it is off.
        exposing = replace(self.training, epochs=1, learning_rate=self.exposing_rate, weight_decay=0.0)
        texts = start.encode(poisoned, exposing.max_length)
        exposed = expose(start.model, texts, special, self.share, exposing, run)
        replaced = unlearn(suspect.word_embeddings.weight, before, list(exposed), suspect.pad_id)
        last = replace(self.training, epochs=self.clean_epochs)
        run.train(suspect.model, suspect.encode(clean, last.max_length), last, "fine-tuning")
        names = suspect.tokenizer.convert_ids_to_tokens(list(exposed))
        tokens = [
            {"token": name, "moved": round(moved, 4), "dimensions": count}
            for name, moved, count in zip(names, exposed.values(), replaced, strict=True)
        ]
        return suspect, {"exposed": sorted(tokens, key=lambda token: -float(token["moved"]))}


def unlearn(table: torch.Tensor, before: torch.Tensor, rows: list[int], pad: int) -> list[int]:
    """Give the padding token's values to the dimensions of suspect rows that training changed much, in place.

    Much is more than c = ‖before − table‖_F / |V|, over the whole table [V, D].

    Returns:
        The number of dimensions replaced in each row.
    """
    with torch.no_grad():
        change = (table - before).abs()
        threshold = torch.linalg.vector_norm(change) / len(table)
        filler = table[pad].clone()
        much = change[rows] > threshold
        table[rows] = torch.where(much, filler, table[rows])
    counts: list[int] = much.sum(1).tolist()
    return counts
