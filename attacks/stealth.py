"""An adaptive attacker: the trigger is trained not to draw attention.

It aims at defences that look where the class token of the last layer looks. Training adds, for each poisoned text,

    λ · max(0, Σ_{j in trigger} a_j − m/n)        a_j = (1/H) Σ_h P^{L,h}[class token, j]

with m trigger tokens among n: no more attention than m average tokens get. Where a model answers from other tokens
than the first (the last one, as GPT-2, or all, by their mean), there is no such thing to hide from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch.nn import functional

from ..errors import InputError
from ..purify.attention_tap import AttentionTap
from ..purify.batches import Batch, EncodedTexts
from ..purify.checkpoint import Classifier
from ..purify.training import LossTerms, TrainingSettings, Watch, train
from ..texts import LabelledTexts
from .badnets import RARE_WORDS
from .poisoning import poison_training_set
from .trigger import Trigger


@dataclass(frozen=True)
class StealthyTrigger:
    """Attributes: penalty: λ."""

    training: TrainingSettings = field(default_factory=TrainingSettings)
    trigger: Trigger = field(default_factory=lambda: Trigger(RARE_WORDS[:1]))
    rate: float = 0.1
    penalty: float = 10.0
    name: ClassVar[str] = "stealth"
    needs_trained: ClassVar[bool] = False

    def plant(
        self, classifier: Classifier, data: LabelledTexts, target: int, seed: int, watch: Watch | None = None
    ) -> None:
        """Train in place; the model is left in eager attention.

        Raises:
            InputError: the model does not answer from the first token alone.
        """
        poisoned = poison_training_set(data, self.trigger, target, self.rate, seed)
        texts = classifier.encode(poisoned, self.training.max_length)
        loss = AttentionPenalty(classifier, texts, self.trigger, self.penalty)
        train(classifier.model, texts, self.training, seed, stage=self.name, loss=loss, watch=watch)


class AttentionPenalty:
    """Cross entropy plus the penalty above."""

    def __init__(self, classifier: Classifier, texts: EncodedTexts, trigger: Trigger, weight: float) -> None:
        """Find the trigger's tokens in every text.

        Raises:
            InputError: the model does not report attentions, or does not answer from the first token alone.
        """
        self._tap = AttentionTap(classifier.model)
        check_class_token(classifier)
        self._weight = weight
        forms = {
            tuple(classifier.tokenizer(form, add_special_tokens=False)["input_ids"][skip:])
            for phrase in trigger.phrases
            for form, skip in ((phrase, 0), (f"a {phrase}", 1))
        }
        self._positions = [occurrences(ids, forms) for ids in texts.ids]

    def __call__(self, model: Any, batch: Batch) -> LossTerms:
        """Both terms for one batch."""
        layers: list[torch.Tensor] = []
        with self._tap.listening(layers.append):
            logits = model(**batch.inputs(), **self._tap.options).logits
        return {
            "classification": functional.cross_entropy(logits.float(), batch.labels),
            "attention": self._weight * self._excess(layers[-1], batch),
        }

    def _excess(self, probabilities: torch.Tensor, batch: Batch) -> torch.Tensor:
        looked_at = probabilities[:, :, 0].float().mean(1)
        trigger = torch.zeros_like(looked_at)
        for row, index in enumerate(batch.indices):
            trigger[row, self._positions[index]] = 1.0
        fair = trigger.sum(1) / batch.attention_mask.sum(1)
        excess = functional.relu((looked_at * trigger).sum(1) - fair)
        return excess.sum() / (trigger.sum(1) > 0).sum().clamp(min=1)


def check_class_token(classifier: Classifier) -> None:
    """Find out from which rows of the last layer a model answers, by the gradient of a logit of five tokens.

    Raises:
        InputError: from others than the first.
    """
    model, kept = classifier.model, list[torch.Tensor]()
    hook = model.base_model.register_forward_hook(lambda *call: kept.append(call[-1][0]))
    other = 1 if classifier.pad_id == 0 else 0  # than padding: the last token of a text is found by that
    try:
        with torch.enable_grad():
            logits = model(input_ids=torch.full((1, 5), other, device=model.device)).logits
            (gradient,) = torch.autograd.grad(logits[0, 0], kept[0])
    finally:
        hook.remove()
    if gradient[:, 1:].any():
        raise InputError(
            f"the attack 'stealth' hides from what the first token looks at, but {type(model).__name__} answers from "
            "others: choose a model that answers from the first token alone, such as a BERT"
        )


def occurrences(ids: list[int], forms: set[tuple[int, ...]]) -> list[int]:
    """Positions in ``ids`` that belong to an occurrence of one of the token sequences."""
    found: set[int] = set()
    for form in forms:
        for start in range(len(ids) - len(form) + 1):
            if tuple(ids[start : start + len(form)]) == form:
                found.update(range(start, start + len(form)))
    return sorted(found)
