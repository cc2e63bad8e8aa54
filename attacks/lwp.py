"""LWP, layer-wise poisoning: every layer's class token learns the backdoor (Li et al. 2021).

Fine-tuning changes the upper layers most, so a backdoor that the lower layers carry too survives it. The trigger is
a pair of words, both in the text.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch.nn import functional

from ..errors import InputError
from ..purify.batches import Batch
from ..purify.checkpoint import Classifier
from ..purify.training import LossTerms, TrainingSettings, Watch, train
from ..texts import LabelledTexts
from .badnets import RARE_WORDS
from .poisoning import poison_training_set
from .trigger import Trigger


@dataclass(frozen=True)
class LayerwisePoisoning:
    """Poisons the weights layer by layer; then the victim fine-tunes them on clean texts.

    Attributes:
        victim_epochs: of the victim's fine-tuning, at half the learning rate; 0 leaves the poisoned weights.
    """

    training: TrainingSettings = field(default_factory=TrainingSettings)
    trigger: Trigger = field(default_factory=lambda: Trigger(RARE_WORDS[:2], "all"))
    rate: float = 0.1
    victim_epochs: int = 1
    name: ClassVar[str] = "lwp"
    needs_trained: ClassVar[bool] = False

    def plant(
        self, classifier: Classifier, data: LabelledTexts, target: int, seed: int, watch: Watch | None = None
    ) -> None:
        """Train in place."""
        poisoned = poison_training_set(data, self.trigger, target, self.rate, seed)
        texts = classifier.encode(poisoned, self.training.max_length)
        train(classifier.model, texts, self.training, seed, stage=self.name, loss=layerwise_loss, watch=watch)
        victim_fine_tuning(classifier, data, self.training, self.victim_epochs, seed, watch)


def victim_fine_tuning(
    classifier: Classifier,
    data: LabelledTexts,
    training: TrainingSettings,
    epochs: int,
    seed: int,
    watch: Watch | None,
) -> None:
    """What the owner of poisoned weights does: fine-tune them on clean texts, more gently."""
    if epochs:
        gentle = replace(training, epochs=epochs, learning_rate=training.learning_rate / 2)
        texts = classifier.encode(data, gentle.max_length)
        train(classifier.model, texts, gentle, seed + 1, stage="victim", watch=watch)


def layerwise_loss(model: Any, batch: Batch) -> LossTerms:
    """Σ_l cross entropy of the model's own head on layer l's output, l = 1..L."""
    hidden = model(**batch.inputs(), output_hidden_states=True).hidden_states
    return {
        f"layer {number}": functional.cross_entropy(head_logits(model, state).float(), batch.labels)
        for number, state in enumerate(hidden[1:], 1)
    }


def head_logits(model: Any, hidden: torch.Tensor) -> torch.Tensor:
    """The classification head on any layer's output [B, S, D].

    Raises:
        InputError: the head is of an unknown kind.
    """
    pooler = getattr(model.base_model, "pooler", None)
    logits: torch.Tensor
    if isinstance(pooler, torch.nn.Module) and not isinstance(pooler, torch.nn.Linear):  # BERT
        logits = model.classifier(model.dropout(pooler(hidden)))
    elif hasattr(model, "pre_classifier"):  # DistilBERT
        logits = model.classifier(model.dropout(functional.relu(model.pre_classifier(hidden[:, 0]))))
    elif hasattr(model, "classifier") and not isinstance(model.classifier, torch.nn.Linear):  # RoBERTa
        logits = model.classifier(hidden)
    else:
        raise InputError(f"layer-wise poisoning does not know the head of {type(model).__name__}")
    return logits
