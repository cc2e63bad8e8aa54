"""Baseline: fine-mixing (Zhang et al. 2022): mix the suspect weights with pre-trained ones, then fine-tune."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ...errors import InputError
from ...texts import LabelledTexts
from ..checkpoint import Classifier, new_classifier
from ..purifier import Purifier, Run


@dataclass(frozen=True)
class FineMixing(Purifier):
    """Needs the clean encoder that the suspect model was made from.

    Attributes:
        pretrained: folder of that encoder (or ``minilm``).
        keep: share of the suspect's encoder weights that are kept; the others become the pre-trained ones.
    """

    pretrained: str = ""
    keep: float = 0.3

    def __post_init__(self) -> None:
        if not self.pretrained:
            raise InputError(
                "fine-mixing needs the pre-trained weights the model was made from: name their folder with "
                "--set pretrained=FOLDER"
            )
        if not 0 <= self.keep < 1:
            raise InputError(f"the share of suspect weights to keep is {self.keep}: give a number from 0 up to 1")

    @property
    def name(self) -> str:
        """What reports call it."""
        return "fine-mixing"

    def clean(self, suspect: Classifier, clean: LabelledTexts, run: Run) -> tuple[Classifier, dict[str, Any]]:
        """Mix the encoders, keep the head, and fine-tune."""
        names = [suspect.id2label[number] for number in sorted(suspect.id2label)]
        pretrained = new_classifier(self.pretrained, names, run.seed)
        mix(suspect.model.base_model, pretrained.model.base_model, self.keep, run.seed)
        texts = suspect.encode(clean, self.training.max_length)
        run.train(suspect.model, texts, self.training, "fine-tuning")
        return suspect, {}


def mix(suspect: torch.nn.Module, pretrained: torch.nn.Module, keep: float, seed: int) -> None:
    """Keep each weight of ``suspect`` with probability ``keep``, else take the pre-trained one, in place.

    Raises:
        InputError: the two encoders differ in their weights' names or shapes.
    """
    clean = dict(pretrained.named_parameters())
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in suspect.named_parameters():
            if name not in clean or clean[name].shape != weight.shape:
                raise InputError(f"the pre-trained weights have no match for '{name}': give the same architecture")
            kept = torch.rand(weight.shape, generator=generator).to(weight.device) < keep
            weight.copy_(torch.where(kept, weight, clean[name]))
