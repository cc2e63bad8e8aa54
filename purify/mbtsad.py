"""MBTSAD: token splitting, then attention distillation (Ding, Niu and Yi 2025, arXiv 2501.02754).

Step 1 fine-tunes a copy of the suspect model on token-split clean texts; that is the teacher. Step 2 starts again
from the suspect model and keeps it to the teacher's attention and hidden states (:mod:`.distillation`). It needs a
small clean set and no pre-trained weights.

The defaults were chosen on one model, MiniLM with BadNets (five words, one epoch, CACC 86.7 %, ASR 100 %) on SST-2
with 20 % of the training texts clean, two variants and two epochs a step, by 872 development texts. The floor is the
share of the same texts that are answered with the target class without a trigger, too:

    step 1 alone             rate 1.5e-4    CACC 86.1 %   ASR 55 %   floor 19 %
                             3e-4                84.2 %       27 %         21 %
                             5e-4                81.2 %       27 %         27 %
    teacher 3e-4, student    3e-4,   α = β = 1   84.7 %       29 %         22 %
                             3e-4,   α = β = 5   84.6 %       29 %         21 %
                             5e-4,   α = β = 1   83.8 %       25 %         22 %
                             5e-4,   α = β = 4   84.5 %       25 %         22 %
                             7.5e-4, α = β = 8   84.2 %       21 %         20 %
    teacher 1.5e-4, student  8e-4, α = β = 10    85.2 %       38 %         22 %
    clean fine-tuning        3e-4, three epochs  84.3 %       72 %

At a small rate the backdoor stays; at a large one the teacher loses accuracy, but a well-guided student does not. The
student is guided as training runs it, after dropout (:mod:`.distillation` says what floor that gives the terms); the
weights and rates above were chosen with that.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from typing import Any

from ..errors import InputError
from ..texts import LabelledTexts
from .augmentations import augment
from .checkpoint import Classifier
from .distillation import Distillation
from .purifier import Purifier, Run
from .training import Loss, cross_entropy


@dataclass(frozen=True)
class MBTSAD(Purifier):
    """The whole method by default, its published ablations by settings.

    Attributes:
        training: of the teacher (step 1); the student's (step 2) differs in the learning rate.
        student_factor: the student's learning rate is so many times the teacher's.
        augmentation: what is done to the texts, a name in AUGMENTATIONS.
        variants: augmented copies of each clean text.
        alpha: weight of the attention term; 0 leaves it out.
        beta: weight of the hidden-state term; 0 leaves it out; with alpha 0 too, it is classification only (CD).
        distil: off stops after step 1 (TS-FT).
    """

    student_factor: float = 2.5
    augmentation: str = "splitting"
    variants: int = 2
    alpha: float = 8.0
    beta: float = 8.0
    distil: bool = True

    def __post_init__(self) -> None:
        if not (0 <= self.alpha < math.inf and 0 <= self.beta < math.inf):
            raise InputError("alpha and beta weigh loss terms: give numbers of 0 or more")
        if not 0 < self.student_factor < math.inf:
            raise InputError(f"the student's rate is {self.student_factor} times the teacher's: give a positive number")

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
        loss: Loss = cross_entropy
        if self.alpha or self.beta:
            teacher = copy.deepcopy(suspect.model)
            run.train(teacher, texts, self.training, "teacher")
            loss = Distillation(teacher, suspect.model, self.alpha, self.beta)
        faster = replace(self.training, learning_rate=self.student_factor * self.training.learning_rate)
        run.train(suspect.model, texts, faster, "student", loss=loss)
        return suspect, {}
