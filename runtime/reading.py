"""A reading: what one pass of the model over one text gave. Every decision is made on readings alone."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..artifact import LayerScale
from ..errors import EngineError
from .batches import pad, plan
from .engine import ALWAYS_SKIP, BY_LAYER, Arrays, Engine
from .tokenization import Encoding, Tokenizer

T = TypeVar("T")

PER_TOKEN = ("class_attention", "attention_received", "saliency", "token_scores")
LEAST_UNIT = 1e-4  # where a layer hardly looks at words, what is more than nothing is rounding


@dataclass(frozen=True)
class Reading:
    """One text's pass.

    Attributes:
        logits: float32 [classes].
        tokens: per-token outputs by name, float32 [n] without padding; only those the graph computes. Where layers
            have scales, ``class_attention`` is :func:`most_attention`; where they have none yet, what the graph gives
            by layer is here as it is, [layers, n].
        anomaly_score: the graph's own score; None where it has none or the gate skipped it; NaN if unscorable.
        suspect: token position of the suspect, −1 where there is none.
    """

    text: str
    encoding: Encoding
    logits: NDArray[np.float32]
    tokens: dict[str, NDArray[np.float32]]
    anomaly_score: float | None
    suspect: int

    @cached_property
    def predicted(self) -> int:
        """Index of the model's answer."""
        return int(self.logits.argmax())

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Softmax of the logits [classes]."""
        shifted = np.exp(self.logits.astype(np.float64) - self.logits.max())
        return np.asarray(shifted / shifted.sum())


class NotFiniteError(EngineError):
    """The model gave one text logits that say nothing; those that shared its batch have theirs."""

    def __init__(self) -> None:
        super().__init__("the model gave logits that are not finite: its weights are damaged or overflow")


# A step of a decision: it yields texts to be read, is sent their readings in order, and returns its result.
Asking = Generator[list[str], list[Reading], T]


class Reader:
    """Reads texts with one engine, in length-sorted micro-batches, and gives them back in their order."""

    def __init__(
        self, tokenizer: Tokenizer, engine: Engine, token_budget: int, scales: Sequence[LayerScale] = ()
    ) -> None:
        self.tokenizer = tokenizer
        self.engine = engine
        self.token_budget = token_budget
        self.scales = scales

    def read(self, texts: Sequence[str], gate: float) -> list[Reading]:
        """Tokenise and run ``texts``; ``gate`` as in :meth:`Engine.run`.

        Raises:
            InputError: a text is not a string of valid Unicode.
            EngineError: the graph failed.
            NotFiniteError: it gave a text logits that are not finite.
        """
        return self.read_encoded(texts, self.tokenizer.encode(texts), gate)

    def read_encoded(self, texts: Sequence[str], encodings: Sequence[Encoding], gate: float) -> list[Reading]:
        """Run ``texts`` that have been tokenised; as :meth:`read` otherwise."""
        readings: list[Reading | None] = [None] * len(texts)
        for group in plan([len(e) for e in encodings], self.token_budget, self.engine.cost):
            members = [encodings[i] for i in group]
            arrays = self.engine.run(pad(members, self.tokenizer.pad_id), gate)
            found = split([texts[i] for i in group], members, arrays, self.scales)
            for index, reading in zip(group, found, strict=True):
                if isinstance(reading, NotFiniteError):
                    raise reading
                readings[index] = reading
        return [reading for reading in readings if reading is not None]

    def follow(self, steps: Asking[T]) -> T:
        """Read what ``steps`` ask for until they have their result; raises as :meth:`read`."""
        answer: list[Reading] | None = None
        while True:
            try:
                asked = steps.send(answer)  # type: ignore[arg-type]  # the first send must be None
            except StopIteration as stop:
                result: T = stop.value
                return result
            answer = self.read(asked, ALWAYS_SKIP)


def split(
    texts: Sequence[str], encodings: Sequence[Encoding], arrays: Arrays, scales: Sequence[LayerScale] = ()
) -> list[Reading | NotFiniteError]:
    """Cut one batch's outputs into readings, padding removed; a row without finite logits has an error instead.

    Args:
        scales: of the layers, as calibrated; none where the last layer alone is read.
    """
    logits = arrays["logits"]
    sound = np.asarray(np.isfinite(logits).all(axis=1))
    per_token = {name: arrays[name] for name in (*PER_TOKEN, BY_LAYER) if name in arrays}
    if scales:
        lengths = [len(encoding) for encoding in encodings]
        per_token["class_attention"] = most_attention(per_token.pop(BY_LAYER), lengths, scales)
    return [
        Reading(
            text,
            encoding,
            logits[row],
            {name: array[row, ..., : len(encoding)] for name, array in per_token.items()},
            *_score(arrays, row),
        )
        if sound[row]
        else NotFiniteError()
        for row, (text, encoding) in enumerate(zip(texts, encodings, strict=True))
    ]


def most_attention(
    by_layer: NDArray[np.float32], lengths: Sequence[int], scales: Sequence[LayerScale]
) -> NDArray[np.float32]:
    """m_j = max_l a_lj / max(exp(slope_l·log n + intercept_l), ``LEAST_UNIT``): float32 [batch, sequence].

    Args:
        by_layer: a, the attention that the class token pays in each layer, [batch, layers, sequence].
        lengths: n of each text.
    """
    slopes, intercepts = np.array([(scale.slope, scale.intercept) for scale in scales]).T
    units = np.exp(np.log(np.asarray(lengths, np.float64))[:, None] * slopes + intercepts).astype(np.float32)
    return np.asarray((by_layer / np.maximum(units, LEAST_UNIT)[:, :, None]).max(axis=1))


def _score(arrays: Arrays, row: int) -> tuple[float | None, int]:
    if "anomaly_score" not in arrays or not _flag(arrays.get("scored"), row):
        return None, -1
    return float(arrays["anomaly_score"][row]), int(arrays["suspect"][row])


def _flag(scored: NDArray[Any] | None, row: int) -> bool:
    return scored is None or bool(scored[row])
