"""One figure of the grid of purifiers with its settings, apart from what measures it: a report needs no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..artifact import Preset

Precision = Literal["bfloat16", "float32"]  # as purify/precision.py has it, which imports PyTorch


def _native_precision() -> Precision:
    from ..purify.precision import native_precision

    return native_precision()


@dataclass(frozen=True)
class GridSettings:
    """What all cells have in common; any change starts the grid anew, beside the old one.

    Attributes:
        model: encoder that everything starts from.
        target: class that poisoned texts shall get.
        clean_share: share of the training texts that purifiers and calibration are given.
        epochs: of attacks; None: the attack's own.
        learning_rate: likewise, save for EP, which moves a few embeddings alone and needs a rate of its own.
        purify_epochs: of every step of a purifier; None: the purifier's own.
        purify_rate: likewise, its learning rate. BTU trains on the poisoned texts as the attack did.
        preset: of the guard.
        precision: of all training.
    """

    model: str = "minilm"
    target: str = "1"
    clean_share: float = 0.2
    seed: int = 0
    epochs: int | None = None
    learning_rate: float | None = None
    purify_epochs: int | None = None
    purify_rate: float | None = None
    max_length: int = 128
    preset: Preset = "tokenward"
    precision: Precision = field(default_factory=_native_precision)


@dataclass(frozen=True)
class Cell:
    """One figure of the grid: a purifier against an attack, without or with the guard behind it.

    Attributes:
        cacc, asr, attributable: see :class:`AttackSuccess`.
        seconds: that the cell took, with the models that it was the first to need.
    """

    attack: str
    purifier: str
    guarded: bool
    cacc: float
    asr: float
    attributable: float
    seconds: float
    settings: GridSettings
