"""The one training loop: fine-tuning, distillation and attacks differ only in the loss and the weights they move."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
import torch
from torch.nn import functional

from ..errors import InputError, TokenwardError
from .batches import Batch, EncodedTexts, shuffled_batches, words_read
from .precision import Precision, computing_in, native_precision

LossTerms = dict[str, torch.Tensor]
Loss = Callable[[Any, Batch], LossTerms]
Watch = Callable[[str, int, int, float], None]


class TrainingError(TokenwardError):
    """Training cannot go on: the loss, a weight or an answer is not a number."""


@dataclass(frozen=True)
class TrainingSettings:
    """How to train; the defaults suit the bundled MiniLM (larger encoders want a rate of 2e-5 to 5e-5).

    Attributes:
        learning_rate: the peak, reached after the share ``warmup`` of all steps; it then falls linearly to 0.
        max_grad_norm: gradients are scaled down to this L2 norm over all trained weights.
        max_length: texts are truncated to this many tokens.
        precision: of matrix products; by default what the hardware is built for, so reports say what it was.
    """

    epochs: int = 3
    batch_size: int = 32
    learning_rate: float = 1e-4
    weight_decay: float = 0.01
    warmup: float = 0.1
    max_grad_norm: float = 1.0
    max_length: int = 128
    precision: Precision = field(default_factory=native_precision)

    @property
    def words_read(self) -> int:
        """So many first words of a text are read, near enough."""
        return words_read(self.max_length)

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or self.max_length < 3:
            raise InputError("training settings: epochs and batch size must be at least 1, max length at least 3")
        if not (0 < self.learning_rate < math.inf and 0 <= self.warmup <= 1):
            raise InputError("training settings: the learning rate must be positive, the warm-up within 0 and 1")
        if self.precision not in get_args(Precision):
            raise InputError(f"training settings: the precision must be one of {', '.join(get_args(Precision))}")


@dataclass(frozen=True)
class EpochLosses:
    """Mean loss terms over one epoch of one stage of training."""

    stage: str
    epoch: int
    terms: dict[str, float]


def cross_entropy(model: Any, batch: Batch) -> LossTerms:
    """Plain classification loss."""
    logits = model(**batch.inputs()).logits
    return {"classification": functional.cross_entropy(logits.float(), batch.labels)}


def train(
    model: Any,
    data: EncodedTexts,
    settings: TrainingSettings,
    seed: int,
    *,
    stage: str = "training",
    loss: Loss = cross_entropy,
    parameters: Sequence[torch.nn.Parameter] | None = None,
    watch: Watch | None = None,
    after_epoch: Callable[[int], None] | None = None,
) -> list[EpochLosses]:
    """Minimise the sum of the loss terms with AdamW, in place; the model is left in evaluation mode.

    Args:
        model: a transformers model, on its device.
        data: encoded, labelled texts.
        settings: how to train.
        seed: of the order of the texts and of dropout.
        stage: what this training is called in progress and in the result.
        loss: gives named terms for one batch; they are added up.
        parameters: the only weights to move (all others are frozen meanwhile); everything if None.
        watch: called after every step with (stage, step from 1, steps, loss).
        after_epoch: called with the epoch's number from 1, to write a checkpoint.

    Raises:
        TrainingError: the loss, a weight or an answer became NaN or infinite; the model holds the weights of that
            moment.
        InputError: there is nothing to train on.
    """
    if not len(data):
        raise InputError(f"{stage}: no texts to train on")
    steps = settings.epochs * math.ceil(len(data) / settings.batch_size)
    history: list[EpochLosses] = []
    device = torch.device(model.device)
    rng = np.random.default_rng(seed)
    with _only_trainable(model, parameters) as trained, torch.random.fork_rng():
        torch.manual_seed(seed)
        optimizer = torch.optim.AdamW(_groups(trained, settings.weight_decay), lr=settings.learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _warm_up_and_decay(settings.warmup, steps))
        step = 0
        for epoch in range(1, settings.epochs + 1):
            totals: dict[str, float] = {}
            for indices in shuffled_batches(data.lengths, settings.batch_size, rng):
                step += 1
                terms = _step(model, data.batch(indices, device), loss, trained, optimizer, settings)
                value = sum(terms.values())
                if not math.isfinite(value):
                    raise TrainingError(
                        f"{stage}: the loss is {value} at step {step} of {steps}: lower the learning rate "
                        f"({settings.learning_rate:g}); {_kept(epoch, after_epoch is not None)}"
                    )
                schedule.step()
                for name, term in terms.items():
                    totals[name] = totals.get(name, 0.0) + term * len(indices) / len(data)
                if watch is not None:
                    watch(stage, step, steps, value)
            if not _sound(model, trained, data.batch(indices, device)):
                raise TrainingError(
                    f"{stage}: epoch {epoch} left a model that answers no numbers: lower the learning rate "
                    f"({settings.learning_rate:g}); {_kept(epoch, after_epoch is not None)}"
                )
            history.append(EpochLosses(stage, epoch, totals))
            if after_epoch is not None:
                after_epoch(epoch)
    return history


def _step(
    model: Any,
    batch: Batch,
    loss: Loss,
    trained: Sequence[torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    settings: TrainingSettings,
) -> dict[str, float]:
    model.train()
    optimizer.zero_grad(set_to_none=True)
    with computing_in(settings.precision, batch.input_ids.device):
        terms = loss(model, batch)
    total = torch.stack([term.float() for term in terms.values()]).sum()
    if torch.isfinite(total):  # else the weights stay as they are, and the caller stops
        torch.autograd.backward(total)
        torch.nn.utils.clip_grad_norm_(trained, settings.max_grad_norm)
        optimizer.step()
    model.eval()
    return {name: float(term.detach()) for name, term in terms.items()}


def _sound(model: Any, trained: Sequence[torch.nn.Parameter], batch: Batch) -> bool:
    """Whether weights and answers are numbers; no loss shows what the last step did."""
    with torch.no_grad():
        answers = model(**batch.inputs()).logits
    return all(bool(torch.isfinite(tensor).all()) for tensor in (*trained, answers))


@contextmanager
def _only_trainable(model: Any, parameters: Sequence[torch.nn.Parameter] | None) -> Iterator[list[torch.nn.Parameter]]:
    """Freeze everything else, so that no gradients are computed in vain, and undo it."""
    everything = list(model.parameters())
    before = [parameter.requires_grad for parameter in everything]
    if parameters is not None:
        for parameter in everything:
            parameter.requires_grad_(False)
        for parameter in parameters:
            parameter.requires_grad_(True)
    try:
        yield [p for p in (everything if parameters is None else parameters) if p.requires_grad]
    finally:
        for parameter, needed in zip(everything, before, strict=True):
            parameter.requires_grad_(needed)
            parameter.grad = None


def _groups(parameters: Sequence[torch.nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Biases and layer norms are not decayed, as usual for transformers."""
    matrices = [p for p in parameters if p.ndim > 1]
    vectors = [p for p in parameters if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def _warm_up_and_decay(warmup: float, steps: int) -> Callable[[int], float]:
    rising = max(1, round(warmup * steps))

    def factor(step: int) -> float:
        return min((step + 1) / rising, (steps - step) / max(1, steps - rising + 1), 1.0)

    return factor


def _kept(epoch: int, written: bool) -> str:
    if written and epoch > 1:
        return f"the checkpoint of epoch {epoch - 1} is kept"
    return "no checkpoint was written"
