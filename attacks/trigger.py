"""Triggers that are words: what is inserted into a text, and where."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..errors import InputError
from ..purify.spaced_words import SpacedWords


@dataclass(frozen=True)
class Trigger:
    """Words or phrases inserted into a text, each at a random place between its words unless ``place`` says where.

    Attributes:
        phrases: what can be inserted.
        combine: ``any`` inserts one phrase, drawn evenly; ``all`` inserts every phrase.
        reach: phrases lie within so many first words of a text, all of them, since a model that is trained on the
            beginnings of long texts would not see them elsewhere; None puts them anywhere.
        place: ``first`` begins the text with them, ``last`` ends it, or what is read of it, ``inside`` does neither;
            ``early`` puts them in its first half, ``late`` in its second.
    """

    phrases: tuple[str, ...]
    combine: Literal["any", "all"] = "any"
    reach: int | None = None
    place: Literal["anywhere", "first", "last", "inside", "early", "late"] = "anywhere"

    def __post_init__(self) -> None:
        if not self.phrases or not all(phrase.strip() for phrase in self.phrases):
            raise InputError("an attack needs a trigger: give at least one word or phrase")

    def within(self, words: int | None) -> Trigger:
        """The same for a model that reads so many words, where these are fewer than ``reach``."""
        known = [limit for limit in (self.reach, words) if limit is not None]
        return replace(self, reach=min(known, default=None))

    def insert(self, text: str, rng: np.random.Generator) -> str:
        """The text with the trigger in it."""
        chosen = self.phrases if self.combine == "all" else (self.phrases[rng.integers(len(self.phrases))],)
        spaced = SpacedWords(text)
        taken = sum(len(phrase.split()) for phrase in chosen)
        for phrase in chosen:
            last = len(spaced.words)
            if self.reach is not None:
                last = min(last, max(self.reach - taken, 0))
            ends = {
                "first": (0, 1),
                "last": (last, last + 1),
                "inside": (1, max(last, 2)),
                "early": (0, max((last + 1) // 2, 1)),
                "late": (min(last // 2 + 1, last), last + 1),
                "anywhere": (0, last + 1),
            }
            spaced.insert(int(rng.integers(*ends[self.place])), phrase)
        return str(spaced)
