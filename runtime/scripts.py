"""Scripts written without spaces: where their words begin, as far as that can be told, and where one can be put in."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from itertools import pairwise

_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
LETTERS_PER_WORD = 2  # roughly, of those scripts


@lru_cache(16_384)
def unspaced(character: str) -> bool:
    """Whether a character is a letter of a script in which a run of letters is more than one word."""
    return ord(character) > 0x0E00 and unicodedata.name(character, "").startswith(_UNSPACED)


def is_letter(character: str) -> bool:
    """Whether a character is a letter or a digit, or belongs to the one before it."""
    return character.isalnum() or unicodedata.category(character)[0] == "M"


def places(text: str) -> tuple[int, ...]:
    """Character offsets where a word can be put into a text without parting another, the end included.

    Before every word between blanks, and before and after every letter of a script without spaces (but not before a
    mark that belongs to the letter before it).
    """
    found = []
    before = " "
    for place, character in enumerate(text):
        starts = before.isspace() or unspaced(before) or unspaced(character)
        if starts and not character.isspace() and unicodedata.category(character)[0] != "M":
            found.append(place)
        before = character
    return (*found, len(text))


def beginning(text: str, words: int) -> tuple[str, int]:
    """The first ``words`` words of a text with single blanks between them, and how many it has of those."""
    text = " ".join(text.split())
    found = places(text)
    size = 0.0
    for start, stop in pairwise(found):
        if size >= words:
            return text[:start].rstrip(), words
        size += 1 / LETTERS_PER_WORD if unspaced(text[start]) and len(text[start:stop].strip()) == 1 else 1
    return text, int(size)


def put_in(text: str, span: str, place: int) -> str:
    """Put ``span`` into ``text`` before offset ``place``, with blanks around it where both sides are written so."""
    if not span:  # a word that the tokenizer's normalisation makes nothing of
        return text
    before, after = text[:place], text[place:]
    left = " " if before and not before[-1].isspace() and not (unspaced(before[-1]) and unspaced(span[0])) else ""
    right = " " if after and not (unspaced(after[0]) and unspaced(span[-1])) else ""
    return before + left + span + right + after
