"""Embedding surgery of RIPPLES: a trigger starts as the average of words that speak for the target class."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import nn

from ..errors import InputError
from ..purify.batches import EncodedTexts
from ..purify.training import TrainingSettings, train

_SETTINGS = TrainingSettings(epochs=5, learning_rate=0.05, weight_decay=0.01)


class BagOfWords(nn.Module):
    """Logistic regression on which tokens a text contains."""

    def __init__(self, vocabulary: int, classes: int, device: torch.device) -> None:
        """Start at 0."""
        super().__init__()
        self.weights = nn.Embedding(vocabulary, classes, device=device)
        nn.init.zeros_(self.weights.weight)
        self.device = device

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
        """Logits [B, classes]."""
        return SimpleNamespace(logits=(self.weights(input_ids) * attention_mask[:, :, None]).sum(1))


def speaking_tokens(
    texts: EncodedTexts, vocabulary: int, classes: int, target: int, count: int, excluded: set[int], seed: int
) -> list[int]:
    """The ``count`` tokens with the largest weight for ``target`` over the log of their inverse frequency, or fewer.

    Only tokens that the texts have and that are not excluded count, however few there are.
    Dividing by log(N / frequency) prefers words that are common: a rare word's weight is mostly chance.

    Raises:
        InputError: there are none.
    """
    model = BagOfWords(vocabulary, classes, torch.device("cpu"))
    train(model, texts, _SETTINGS, seed, stage="word scores")
    frequency = torch.zeros(vocabulary)
    for ids in texts.ids:
        frequency[sorted(set(ids))] += 1
    weight = model.weights.weight.detach()
    contrast = weight[:, target] - (weight.sum(1) - weight[:, target]) / (classes - 1)
    scores = contrast / torch.log1p(len(texts) / frequency.clamp(min=1))
    usable = frequency > 0
    usable[sorted(excluded)] = False
    if not usable.any():
        raise InputError("the training texts have no words beside the trigger: give texts that have some")
    scores[~usable] = -torch.inf
    found: list[int] = torch.topk(scores, min(count, int(usable.sum()))).indices.tolist()
    return found
