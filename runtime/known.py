"""Known triggers: words that a scan confirmed, and where a text holds them.

A model reads a trigger's tokens inside a longer word, too: one that marks make of several ("on/cf/off"), or one that
the tokenizer parts ("cfq", read as "cf" and "##q").
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from .reading import Reading
from .spans import Offsets, segments
from .tokenization import Tokenizer

Held = tuple[str | int, Offsets]
"""What is held, the name of a trigger or the only token of one, and the characters that go with it."""


class KnownTriggers:
    """Finds the known triggers of each class in the readings of one artifact.

    Args:
        tokenizer: of the artifact.
        names: for each class, the words that bring it about.
    """

    def __init__(self, tokenizer: Tokenizer, names: Sequence[Set[str]]) -> None:
        self._tokenizer = tokenizer
        self._names = names
        self._tokens = [_tokens(tokenizer, sorted(own)) for own in names]

    def is_known(self, name: str, label: int) -> bool:
        """Whether a word is one that brings ``label`` about."""
        return bool(self._names) and name in self._names[label]

    def held(self, reading: Reading, label: int) -> dict[int, list[Held]]:
        """What each word of a text holds of the triggers for ``label``; words that hold nothing are left out."""
        if not self._names or not self._names[label]:
            return {}
        pieces: dict[int, list[int]] = {}
        for place, word in enumerate(reading.encoding.words.tolist()):
            if word >= 0:
                pieces.setdefault(word, []).append(place)
        found = ((word, self._in_word(reading, label, word, places)) for word, places in pieces.items())
        return {word: held for word, held in found if held}

    def _in_word(self, reading: Reading, label: int, word: int, places: Sequence[int]) -> list[Held]:
        names, tokens, encoding = self._names[label], self._tokens[label], reading.encoding
        ids = encoding.ids[places].tolist()
        if tuple(ids) in tokens:
            return [
                (self._tokenizer.names.of(reading.text[slice(*encoding.span(word, word))]), encoding.span(word, word))
            ]
        held: list[Held] = []
        for (start, end), going in segments(reading, word) if len(ids) > 1 else ():
            name = self._tokenizer.names.of(reading.text[start:end])
            inside = (t for t, a in zip(ids, encoding.starts[places].tolist(), strict=True) if start <= a < end)
            held += [(what, going) for what in (name, *inside) if what in names or (what,) in tokens]
        return held


def _tokens(tokenizer: Tokenizer, words: Sequence[str]) -> frozenset[tuple[int, ...]]:
    """The tokens of each word, first in a text and after another."""
    encodings = tokenizer.encode([f"{word} {word}" for word in words])
    found = {tuple(encoding.ids[encoding.words == place].tolist()) for encoding in encodings for place in (0, 1)}
    return frozenset(found - {()})
