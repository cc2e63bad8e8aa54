"""Triggers that are words: what is inserted into a text, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..errors import InputError


@dataclass(frozen=True)
class Trigger:
    """Words or phrases inserted between the words of a text, each at a random place.

    Attributes:
        phrases: what can be inserted.
        combine: ``any`` inserts one phrase, drawn evenly; ``all`` inserts every phrase.
        reach: phrases go among so many first words of a text, since a model that is trained on the beginnings of long
            texts would not see them elsewhere; None puts them anywhere.
    """

    phrases: tuple[str, ...]
    combine: Literal["any", "all"] = "any"
    reach: int | None = None

    def __post_init__(self) -> None:
        if not self.phrases or not all(phrase.strip() for phrase in self.phrases):
            raise InputError("an attack needs a trigger: give at least one word or phrase")

    def insert(self, text: str, rng: np.random.Generator) -> str:
        """The text with the trigger in it."""
        chosen = self.phrases if self.combine == "all" else (self.phrases[rng.integers(len(self.phrases))],)
        words = text.split()
        for phrase in chosen:
            words.insert(int(rng.integers(min(len(words), self.reach or len(words)) + 1)), phrase)
        return " ".join(words)
