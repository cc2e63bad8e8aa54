"""A text as its words and the blanks between them, so that words can change and every blank stay.

Byte-level tokenizers read runs of blanks as words. Were they made one, that alone would tell changed texts from others.
"""

from __future__ import annotations

import re
from collections.abc import Collection


class SpacedWords:
    """Attributes: words: as ``str.split`` has them; they may be replaced in place."""

    def __init__(self, text: str) -> None:
        """Cut ``text``."""
        found = list(re.finditer(r"(\s*)(\S+)", text))
        self.words = [match[2] for match in found]
        self._start = found[0][1] if found else text
        self._blanks = [match[1] for match in found[1:]]  # after each word but the last
        self._end = text[found[-1].end() :] if found else ""

    def __str__(self) -> str:
        """The text."""
        between = zip(self.words, [*self._blanks, ""], strict=False)
        return self._start + "".join(part for pair in between for part in pair) + self._end

    def insert(self, place: int, word: str) -> None:
        """Put a word (or several) before the one at ``place``, after one blank; before one if it is the first."""
        if self.words:
            self._blanks.insert(max(place - 1, 0), " ")
        self.words.insert(place, word)

    def delete(self, places: Collection[int]) -> None:
        """Take words out, each with the blanks after it, or before it if it is the last; one word must stay."""
        kept = [place for place in range(len(self.words)) if place not in places]
        self.words = [self.words[place] for place in kept]
        self._blanks = [self._blanks[place] for place in kept[:-1]]
