"""Baseline: re-initialise the last layer, then fine-tune on the clean texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ...texts import LabelledTexts
from ..checkpoint import Classifier
from ..purifier import Purifier, Run


@dataclass(frozen=True)
class ReinitHead(Purifier):
    """The last layer is the whole head: every module outside the encoder, and the encoder's pooler."""

    @property
    def name(self) -> str:
        """What reports call it."""
        return "reinit-head"

    def clean(self, suspect: Classifier, clean: LabelledTexts, run: Run) -> tuple[Classifier, dict[str, Any]]:
        """Draw new weights for the head and fine-tune everything."""
        reinitialise_head(suspect.model, run.seed)
        texts = suspect.encode(clean, self.training.max_length)
        run.train(suspect.model, texts, self.training, "fine-tuning")
        return suspect, {}


def reinitialise_head(model: Any, seed: int) -> None:
    """Draw the weights of all linear layers of the head anew, in place, as the encoder was initialised."""
    encoder = {id(module) for module in model.base_model.modules()}
    head = [module for module in model.modules() if id(module) not in encoder]
    pooler = getattr(model.base_model, "pooler", None)
    head += list(pooler.modules()) if pooler is not None else []
    generator = torch.Generator().manual_seed(seed)
    spread = getattr(model.config, "initializer_range", 0.02)
    with torch.no_grad():
        for module in head:
            if isinstance(module, torch.nn.Linear):
                drawn = torch.normal(0.0, spread, module.weight.shape, generator=generator)
                module.weight.copy_(drawn)
                if module.bias is not None:
                    module.bias.zero_()
