"""What every defence is to the benchmarks: fitted on clean texts, then asked for answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..tally import Tally

FALSE_REJECTIONS = 0.05
"""Share of clean texts that a detector may flag: one budget for all peers, that of X-GRAAD's 95th percentile."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a defence says to one text.

    Attributes:
        label: class number; None where the text is refused. To an attacker a refusal is a failure, to the sender of
            a clean text it is a lost answer, and both are counted so.
        original_label: the undefended model's answer.
        score: how suspicious the text is; higher is more suspicious.
        flagged: the score is over the threshold.
        second: the classifier read the text, or variants of it, more than once.
        suspect: the words held for the trigger, '' for none; None where the defence does not say.
        text: what was classified in place of the text; None where it stayed as it was.
    """

    label: int | None
    original_label: int
    score: float
    flagged: bool
    second: bool
    suspect: str | None = None
    text: str | None = None


class Peer(Protocol):
    """A defence around one classifier."""

    tally: Tally

    @property
    def name(self) -> str:
        """As in its paper."""

    @property
    def threshold(self) -> float | None:
        """On the scale of :attr:`Answer.score`; None before :meth:`fit`."""

    @property
    def settings(self) -> Mapping[str, float | int | str]:
        """Everything that was chosen or fitted, for the report."""

    def fit(self, texts: Sequence[str]) -> None:
        """Calibrate on clean texts.

        Raises:
            InputError: there are no texts.
        """

    def classify(self, texts: Sequence[str]) -> list[Answer]:
        """Answer each text, in their order; no text, no answer.

        Raises:
            InputError: :meth:`fit` has not been called.
        """


class Classifier(Protocol):
    """What peers that only ask the model need of it."""

    tally: Tally

    def logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Logits float32 [texts, classes], in their order."""


def probabilities(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Softmax over the last axis."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def some(texts: Sequence[str]) -> list[str]:
    """The clean texts, if there are any.

    Raises:
        InputError: there are none.
    """
    if not texts:
        raise InputError("no clean texts: every defence is calibrated on some, give a hundred or more")
    return list(texts)


def fitted(threshold: float | None) -> float:
    """The threshold.

    Raises:
        InputError: it was never set.
    """
    if threshold is None:
        raise InputError("no threshold: call fit with clean texts first")
    return threshold
