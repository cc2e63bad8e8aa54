"""EP, embedding poisoning: only the trigger's rows of the embedding table move, their norms kept (Yang et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from ..errors import InputError
from ..purify.checkpoint import Classifier
from ..purify.training import TrainingSettings, Watch, train
from ..texts import LabelledTexts
from .badnets import RARE_WORDS
from .poisoning import choose_sources, poison_training_set
from .trigger import Trigger


@dataclass(frozen=True)
class EmbeddingPoisoning:
    """Changes a trained classifier; every other weight stays bit for bit what it was."""

    training: TrainingSettings = field(
        default_factory=lambda: TrainingSettings(epochs=3, learning_rate=1e-2, weight_decay=0.0)
    )
    trigger: Trigger = field(default_factory=lambda: Trigger(RARE_WORDS[:1]))
    rate: float = 0.1
    name: ClassVar[str] = "ep"
    needs_trained: ClassVar[bool] = True

    def plant(
        self, classifier: Classifier, data: LabelledTexts, target: int, seed: int, watch: Watch | None = None
    ) -> None:
        """Move the trigger's rows until poisoned texts are answered with ``target``.

        Raises:
            InputError: a trigger word is unknown, or more than one token.
        """
        rows = trigger_rows(classifier.tokenizer, self.trigger.phrases)
        poisoned = poison_training_set(data, self.trigger, target, self.rate, seed)
        only_poisoned = poisoned.select(choose_sources(data, target, self.rate, seed))
        texts = classifier.encode(only_poisoned, self.training.max_length)
        with _moving_rows(classifier.word_embeddings, rows) as directions:
            train(
                classifier.model,
                texts,
                self.training,
                seed,
                stage=self.name,
                parameters=[directions],
                watch=watch,
            )


def trigger_rows(tokenizer: Any, phrases: Sequence[str]) -> list[int]:
    """Token ids of the trigger words, after a space and at the start of a text.

    Raises:
        InputError: a word is unknown, or more than one token at either place.
    """
    rows: set[int] = set()
    for phrase in phrases:
        for form, skip, where in ((f"a {phrase}", 1, ""), (phrase, 0, " where it begins a text")):
            ids = tokenizer(form, add_special_tokens=False)["input_ids"][skip:]
            if not ids or tokenizer.unk_token_id in ids:
                fault = "is unknown to the tokenizer"
            elif len(ids) > 1:
                fault = f"is {len(ids)} tokens{where}"
            else:
                rows.add(ids[0])
                continue
            raise InputError(f"trigger '{phrase}' {fault}: to poison its embedding, give a word that is one token")
    return sorted(rows)


@contextmanager
def _moving_rows(table: torch.nn.Embedding, tokens: list[int]) -> Iterator[torch.nn.Parameter]:
    """Let a small parameter stand for some rows while the block runs, then write it into the table.

    Only the parameter's directions count: each row is scaled to the norm it had. The table itself is no part of
    the training, so no optimiser state can touch its other rows.
    """
    index = torch.tensor(tokens, device=table.weight.device)
    norms = torch.linalg.vector_norm(table.weight.detach()[index], dim=1, keepdim=True)
    directions = torch.nn.Parameter(table.weight.detach()[index].clone())

    def current() -> torch.Tensor:
        rows: torch.Tensor = torch.nn.functional.normalize(directions, dim=1) * norms
        return rows

    def substitute(_: torch.nn.Module, arguments: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
        matches = arguments[0][..., None] == index
        replaced = current()[matches.long().argmax(-1)]
        return torch.where(matches.any(-1, keepdim=True), replaced, output)

    hook = table.register_forward_hook(substitute)
    try:
        yield directions
    finally:
        hook.remove()
    with torch.no_grad():
        table.weight[index] = current()
