"""The published repair: make noise of every occurrence of the suspect, predict again, see whether the answer flips."""

from __future__ import annotations

import random
import string
from collections.abc import Sequence

from .seeding import seed_of
from .spans import Offsets, kept_without

SHORT = 2  # a suspect of this many characters or fewer is removed


def make_noise(text: str, spans: Sequence[Offsets]) -> str:
    """Return ``text`` with each span made noise.

    A span of up to two characters is removed. In a longer one, one or two random letters are inserted or one
    character is replaced, so that the tokenizer no longer sees the trigger but a reader still sees the word.
    Equal spans become equal noise; the draw is seeded by the text (X-GRAAD, its noise-injection step).

    Args:
        text: the original text.
        spans: character offsets (start, end), not overlapping.
    """
    noise: dict[str, str] = {}
    draw = random.Random(seed_of(text))
    for word in dict.fromkeys(text[start:stop] for start, stop in sorted(spans)):
        noise[word] = "" if len(word) <= SHORT else _noisy(word, draw)
    pieces: list[str] = []
    removed: list[Offsets] = []  # in the text that the pieces make
    end = length = 0
    for start, stop in sorted({*spans}):  # two tokens of one character have one span
        word = text[start:stop]
        pieces += text[end:start], noise[word] or word
        length += len(pieces[-2])
        if not noise[word]:
            removed.append((length, length + len(word)))
        length += len(pieces[-1])
        end = stop
    noisy = "".join([*pieces, text[end:]])
    return "".join(noisy[i] for i in kept_without(noisy, removed))


def _noisy(word: str, draw: random.Random) -> str:
    place = draw.randrange(len(word))
    if draw.random() < 0.5:
        letters = "".join(draw.choices(string.ascii_lowercase, k=draw.randint(1, 2)))
        return word[:place] + letters + word[place:]
    other = [letter for letter in string.ascii_lowercase if letter != word[place].lower()]
    return word[:place] + draw.choice(other) + word[place + 1 :]
