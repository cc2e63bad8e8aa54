"""Baseline: fine-pruning (Liu, Dolan-Gavitt and Garg 2018) on the feed-forward neurons of an encoder.

Neurons that stay quiet on clean texts may wait for a trigger: the quietest are removed, then the rest fine-tuned.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from ...errors import InputError
from ...texts import LabelledTexts
from ..batches import EncodedTexts, sorted_batches
from ..checkpoint import Classifier
from ..purifier import Purifier, Run

Projection = torch.nn.Linear | Conv1D


@dataclass(frozen=True)
class FinePruning(Purifier):
    """Attributes: share: of the feed-forward neurons of each layer that is removed."""

    share: float = 0.3

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise InputError(f"the share of neurons to prune is {self.share}: give a number between 0 and 1")

    @property
    def name(self) -> str:
        """What reports call it."""
        return "fine-pruning"

    def clean(self, suspect: Classifier, clean: LabelledTexts, run: Run) -> tuple[Classifier, dict[str, Any]]:
        """Prune and fine-tune; a pruned neuron gets no gradient, so it stays pruned."""
        texts = suspect.encode(clean, self.training.max_length)
        pairs = feed_forward_pairs(suspect.model)
        quiet = activity(suspect, [down for _, down in pairs], texts)
        for (up, down), mean in zip(pairs, quiet, strict=True):
            prune(up, down, torch.argsort(mean)[: round(self.share * len(mean))])
        run.train(suspect.model, texts, self.training, "fine-tuning")
        return suspect, {"pruned_per_layer": round(self.share * len(quiet[0])), "layers": len(pairs)}


def feed_forward_pairs(model: Any) -> list[tuple[Projection, Projection]]:
    """(up, down) projections of each feed-forward block: hidden → wider, and the next back to hidden.

    Raises:
        InputError: the model has none, as where the block is gated.
    """
    projections = [module for module in model.base_model.modules() if isinstance(module, Projection)]
    pairs = [
        (up, down)
        for up, down in itertools.pairwise(projections)
        if len(_matrix(up)) == _matrix(down).shape[1] > _matrix(up).shape[1] == len(_matrix(down))
    ]
    if not pairs:
        raise InputError(f"{type(model).__name__} has no plain feed-forward blocks to prune: use another purifier")
    return pairs


def _matrix(projection: Projection) -> torch.Tensor:
    """Its weights as [out, in], which GPT-2 keeps transposed."""
    weight: torch.Tensor = projection.weight
    return weight if isinstance(projection, torch.nn.Linear) else weight.T


def activity(classifier: Classifier, downs: list[Projection], texts: EncodedTexts) -> list[torch.Tensor]:
    """Mean absolute activation of each feed-forward neuron over all real tokens: one [neurons] per block.

    Raises:
        InputError: the blocks are not given one row per token of each text, as in XLNet, where positions come first.
    """
    totals = [torch.zeros(_matrix(down).shape[1], device=classifier.device) for down in downs]
    mask = torch.empty(0)

    def add(place: int) -> Any:
        def hook(_: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
            if arguments[0].shape[:2] != mask.shape:
                raise InputError(
                    f"{type(classifier.model).__name__} gives its feed-forward blocks something else than texts × "
                    "tokens: use another purifier"
                )
            totals[place] += (arguments[0].abs() * mask[:, :, None]).sum((0, 1))

        return hook

    hooks = [down.register_forward_pre_hook(add(place)) for place, down in enumerate(downs)]
    try:
        with torch.inference_mode():
            for indices in sorted_batches(texts.lengths, 32):
                batch = texts.batch(indices, classifier.device)
                mask = batch.attention_mask
                classifier.model(**batch.inputs())
    finally:
        for hook in hooks:
            hook.remove()
    return [total / int(texts.lengths.sum()) for total in totals]


def prune(up: Projection, down: Projection, neurons: torch.Tensor) -> None:
    """Silence neurons in place: no input, no bias, no output."""
    with torch.no_grad():
        _matrix(up)[neurons] = 0
        if up.bias is not None:
            up.bias[neurons] = 0
        _matrix(down)[:, neurons] = 0
