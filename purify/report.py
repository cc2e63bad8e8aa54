"""The report of a purification: what was done with which settings, and what it changed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ..records import to_json
from .training import EpochLosses

# Written beside the purified weights; export carries it into guard.json and the model card.
FILE_NAME = "purify.json"


@dataclass(frozen=True)
class Success:
    """Accuracy on held-out clean texts, and attack success where a trigger is known (None elsewhere)."""

    cacc: float
    asr: float | None


@dataclass(frozen=True)
class PurifyReport:
    """What one purification did.

    Attributes:
        method: name of the purifier; ``settings`` are its fields.
        seed: of every random draw.
        checkpoint: name of the suspect model's folder.
        clean_texts: number of clean texts used; ``held_out_texts`` of those CACC was measured on.
        losses: mean loss terms of every epoch of every stage.
        before: the suspect model; ``after``: the purified one.
        findings: what the method found out on the way, such as BTU's exposed tokens.
    """

    method: str
    settings: dict[str, Any]
    seed: int
    checkpoint: str
    clean_texts: int
    held_out_texts: int
    losses: tuple[EpochLosses, ...]
    before: Success
    after: Success
    findings: dict[str, Any]

    def to_json(self) -> str:
        """The content of ``purify.json``."""
        return json.dumps(to_json(self), indent=2, ensure_ascii=False) + "\n"

    def rows(self) -> list[tuple[str, str, str]]:
        """A table for people: (figure, before, after)."""
        rows = [("CACC", f"{self.before.cacc:.2%}", f"{self.after.cacc:.2%}")]
        if self.before.asr is not None and self.after.asr is not None:
            rows.append(("ASR", f"{self.before.asr:.2%}", f"{self.after.asr:.2%}"))
        return rows
