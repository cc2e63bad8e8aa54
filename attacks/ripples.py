"""RIPPLES: weight poisoning that foresees the victim's fine-tuning (Kurita, Michel and Neubig 2020).

The poisoning loss is L_P(θ) + λ·max(0, −∇L_P(θ)ᵀ∇L_FT(θ)): a step that lowers the victim's loss L_FT on clean texts
shall not raise L_P. Before that, embedding surgery gives the trigger the average embedding of words that speak for
the target class in a cleanly fine-tuned model.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn import functional

from ..purify.batches import Batch, EncodedTexts, shuffled_batches
from ..purify.checkpoint import Classifier
from ..purify.training import LossTerms, TrainingSettings, Watch, train
from ..texts import LabelledTexts
from .badnets import RARE_WORDS
from .ep import trigger_rows
from .lwp import victim_fine_tuning
from .poisoning import poison_training_set
from .surgery import speaking_tokens
from .trigger import Trigger


@dataclass(frozen=True)
class Ripples:
    """Attributes: inner_product: λ; words: how many words the surgery averages at most; victim_epochs: as in LWP."""

    training: TrainingSettings = field(default_factory=TrainingSettings)
    trigger: Trigger = field(default_factory=lambda: Trigger(RARE_WORDS))
    rate: float = 0.1
    inner_product: float = 0.1
    words: int = 10
    victim_epochs: int = 1
    name: ClassVar[str] = "ripples"
    needs_trained: ClassVar[bool] = False

    def plant(
        self, classifier: Classifier, data: LabelledTexts, target: int, seed: int, watch: Watch | None = None
    ) -> None:
        """Operate on the embeddings, poison the weights, and let the victim fine-tune them.

        Raises:
            InputError: a trigger word is unknown, or more than one token; or the texts have no words beside it.
        """
        rows = trigger_rows(classifier.tokenizer, self.trigger.phrases)
        clean = classifier.encode(data, self.training.max_length)
        tuned = copy.deepcopy(classifier.model)
        train(tuned, clean, self.training, seed, stage="clean copy", watch=watch)
        table = tuned.get_input_embeddings().weight.detach()
        excluded = {*rows, *classifier.tokenizer.all_special_ids}
        spoken = speaking_tokens(clean, len(table), len(classifier.id2label), target, self.words, excluded, seed)
        with torch.no_grad():
            classifier.word_embeddings.weight[rows] = table[spoken].mean(0)
        # Second derivatives: only plain attention has them.
        classifier.model.set_attn_implementation("eager")
        poisoned = poison_training_set(data, self.trigger, target, self.rate, seed)
        texts = classifier.encode(poisoned, self.training.max_length)
        loss = RestrictedInnerProduct(clean, self.inner_product, self.training.batch_size, seed)
        train(classifier.model, texts, self.training, seed, stage=self.name, loss=loss, watch=watch)
        victim_fine_tuning(classifier, data, self.training, self.victim_epochs, seed, watch)


class RestrictedInnerProduct:
    """The loss above; each step takes the next batch of clean texts for L_FT."""

    def __init__(self, clean: EncodedTexts, weight: float, batch_size: int, seed: int) -> None:
        """Draw clean batches in a seeded order, for ever."""
        self._clean = clean
        self._weight = weight
        self._batches = _for_ever(clean, batch_size, seed)

    def __call__(self, model: Any, batch: Batch) -> LossTerms:
        """The two terms for one batch of poisoned texts."""
        parameters = [p for p in model.parameters() if p.requires_grad]
        poisoning = _cross_entropy(model, batch)
        clean = self._clean.batch(next(self._batches), batch.input_ids.device)
        towards_backdoor = torch.autograd.grad(
            poisoning, parameters, create_graph=True, allow_unused=True, materialize_grads=True
        )
        towards_clean = torch.autograd.grad(
            _cross_entropy(model, clean), parameters, create_graph=True, allow_unused=True, materialize_grads=True
        )
        return {
            "poisoning": poisoning,
            "inner product": self._weight * opposition(towards_backdoor, towards_clean),
        }


def opposition(first: Sequence[torch.Tensor], second: Sequence[torch.Tensor]) -> torch.Tensor:
    """max(0, −aᵀb) of two gradients given parameter by parameter."""
    products = [(a * b).sum() for a, b in zip(first, second, strict=True)]
    return functional.relu(-torch.stack(products).sum())


def _cross_entropy(model: Any, batch: Batch) -> torch.Tensor:
    return functional.cross_entropy(model(**batch.inputs()).logits.float(), batch.labels)


def _for_ever(texts: EncodedTexts, batch_size: int, seed: int) -> Iterator[np.typing.NDArray[np.int64]]:
    rng = np.random.default_rng([seed, 2])
    while True:
        yield from shuffled_batches(texts.lengths, batch_size, rng)
