"""Baseline: fine-tune the suspect model on the clean texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...texts import LabelledTexts
from ..checkpoint import Classifier
from ..purifier import Purifier, Run


@dataclass(frozen=True)
class CleanFineTuning(Purifier):
    """What every other purifier has to beat."""

    @property
    def name(self) -> str:
        """What reports call it."""
        return "fine-tuning"

    def clean(self, suspect: Classifier, clean: LabelledTexts, run: Run) -> tuple[Classifier, dict[str, Any]]:
        """Fine-tune."""
        texts = suspect.encode(clean, self.training.max_length)
        run.train(suspect.model, texts, self.training, "fine-tuning")
        return suspect, {}
