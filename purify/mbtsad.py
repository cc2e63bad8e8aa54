"""MBTSAD: token splitting, then attention distillation (Ding, Niu and Yi 2025, arXiv 2501.02754).

Step 1 fine-tunes a copy of the suspect model on token-split clean texts; that is the teacher. Step 2 starts again
from the suspect model and keeps it to the teacher's attention and hidden states (:mod:`.distillation`). It needs a
small clean set and no pre-trained weights.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from ..texts import LabelledTexts
from .augmentations import augment
from .checkpoint import Classifier
from .distillation import Distillation
from .purifier import Purifier, Run
from .training import TrainingSettings


@dataclass(frozen=True)
class MBTSAD(Purifier):
    """The whole method by default, its published ablations by settings.

    Attributes:
        training: of the student (step 2), or of the only step where ``distil`` is off.
        teacher: training of the teacher (step 1); None: as the student's.
        augmentation: what is done to the texts, a name in AUGMENTATIONS.
        variants: augmented copies of each clean text.
        alpha: weight of the attention term; 0 leaves it out.
        beta: weight of the hidden-state term; 0 leaves it out; with alpha 0 too, it is classification only (CD).
        distil: off stops after step 1 (TS-FT).
    """

    teacher: TrainingSettings | None = None
    augmentation: str = "splitting"
    variants: int = 3
    alpha: float = 1.0
    beta: float = 1.0
    distil: bool = True

    def __post_init__(self) -> None:
        if self.alpha < 0 or self.beta < 0:
            raise InputError("alpha and beta weigh loss terms: give numbers of 0 or more")

    @property
    def name(self) -> str:
        """What reports call it."""
        return "mbtsad" if self.distil else "ts-ft"

    def clean(self, suspect: Classifier, clean: LabelledTexts, run: Run) -> tuple[Classifier, dict[str, Any]]:
        """Train the teacher, then the student, which is returned."""
        split = augment(clean, self.augmentation, self.variants, run.seed)
        texts = suspect.encode(split, self.training.max_length)
        if not self.distil:
            run.train(suspect.model, texts, self.training, "retraining")
            return suspect, {}
        teacher = copy.deepcopy(suspect.model)
        run.train(teacher, texts, self.teacher or self.training, "teacher")
        loss = Distillation(teacher, suspect.model, self.alpha, self.beta)
        run.train(suspect.model, texts, self.training, "student", loss=loss)
        return suspect, {}
