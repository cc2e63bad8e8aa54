"""The exposing rounds of BTU: tokens whose embeddings move most while a model learns poisoned texts are suspects."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from .batches import EncodedTexts
from .purifier import Run
from .training import TrainingSettings


class BagOfEmbeddings(nn.Module):
    """The word embeddings, averaged over the real tokens, under a linear head."""

    def __init__(self, table: torch.Tensor, classes: int, seed: int) -> None:
        """Copy the embedding ``table`` [V, D]."""
        super().__init__()
        self.embeddings = nn.Embedding(len(table), table.shape[1], _weight=table.detach().clone())
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.head = nn.Linear(table.shape[1], classes).to(table.device)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.head.weight.device

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
        """Logits [B, classes], under the name that transformers gives them."""
        embedded = self.embeddings(input_ids)
        weights = (attention_mask / attention_mask.sum(1, keepdim=True)).to(embedded.dtype)
        return SimpleNamespace(logits=self.head(torch.einsum("bsd,bs->bd", embedded, weights)))


def expose(
    model: Any,
    texts: EncodedTexts,
    special: set[int],
    share: float,
    settings: TrainingSettings,
    run: Run,
) -> dict[int, float]:
    """Three rounds over poisoned texts; each adds the rows of the word embeddings that moved most.

    Round 1 trains the embeddings under mean pooling and a linear head; round 2 does so again without the tokens
    found; round 3 trains the embeddings alone inside the whole model, which is left changed.

    Args:
        model: the model before it saw the poisoned texts.
        texts: the poisoned training set.
        special: token ids that are never suspects.
        share: of the vocabulary that each round takes (at least one token).
        settings: of each round.
        run: the purification this belongs to.

    Returns:
        Movement ‖E_before − E_after‖₂ by token id, in the order found; the largest where rounds agree.
    """
    before: torch.Tensor = model.get_input_embeddings().weight.detach().clone()
    count = max(1, math.floor(share * len(before)))
    suspects: dict[int, float] = {}
    for stage in ("exposing 1", "exposing 2"):
        bag = BagOfEmbeddings(before, model.config.num_labels, run.seed)
        run.train(bag, texts.without(suspects), settings, stage)
        _add(suspects, most_moved(before, bag.embeddings.weight, count, special | suspects.keys()))
    table = model.get_input_embeddings().weight
    run.train(model, texts, settings, "exposing 3", parameters=[table])
    _add(suspects, most_moved(before, table, count, special))
    return suspects


def most_moved(before: torch.Tensor, after: torch.Tensor, count: int, excluded: set[int]) -> dict[int, float]:
    """The ``count`` rows with the largest ‖before − after‖₂, the largest first; rows that stayed are left out."""
    movement = torch.linalg.vector_norm(after.detach() - before, dim=1)
    movement[sorted(excluded)] = 0
    top = torch.topk(movement, min(count, len(movement)))
    found = zip(top.indices.tolist(), top.values.tolist(), strict=True)
    return {token: value for token, value in found if value > 0}


def _add(suspects: dict[int, float], found: dict[int, float]) -> None:
    for token, movement in found.items():
        suspects[token] = max(movement, suspects.get(token, 0.0))
