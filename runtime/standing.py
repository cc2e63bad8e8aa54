"""How a span stands in its text: a suspect is tried as it stood, since a trigger may act in no other way.

Some tokenizers read a word otherwise at the start of a text or right after a mark than after a blank, and a trigger may
have been trained to act only where it is repeated, where it begins or ends a text, or in one half of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from .reading import Reading
from .scripts import is_letter, places, put_in, unspaced
from .seeding import seed_of
from .tokenization import Tokenizer

_places = lru_cache(1024)(places)  # references are few, and asked for thousands of times

# Before what is to begin a reference, to end it, to stand in its first or its second half, or anywhere but at its
# beginning; no name has them. What has none of them stands anywhere, what has the first and the third after one word.
FIRST, LAST, LATER, EARLY, LATE = MARKS = "\r", "\f", "\v", "\x1c", "\x1d"


def as_it_stands(
    tokenizer: Tokenizer, reading: Reading, runs: Sequence[tuple[int, int]], leader: int, longest: int = 12
) -> tuple[str, int]:
    """What to transplant of these runs of words: their names, marks that a run is glued to, as often as it stands.

    Args:
        tokenizer, reading: of the text.
        runs: first and last word of each, left to right.
        leader: the word whose half of the text all of them are put in, unless they begin or end it.
        longest: most copies of a single word.

    Returns:
        That, and how many copies of a single word it has.
    """
    starts, ends = reading.encoding.edges
    text, names = reading.text, tokenizer.names
    spans = [(starts[first], ends[last]) for first, last in runs]
    parts = [names.of(text[start - _glued(tokenizer, text, start) : end]) for start, end in spans]
    copies = 1
    if len(runs) == 1 and runs[0][0] == runs[0][1]:
        name = names.of(text[slice(*spans[0])])
        copies = min(sum(names.of(text[start:end]) == name for start, end in zip(starts, ends, strict=True)), longest)
        parts *= copies
    place = in_half(tokenizer, 2 * leader + 1 < len(starts)) if runs else ""
    if runs and runs[0][0] == 0 and (len(runs) == 1 or tokenizer.starts_differ):
        place = FIRST + " " * (tokenizer.starts_differ and text[0].isspace())
    elif len(runs) == 1 and runs[0][1] == len(starts) - 1:
        place = LAST
    return place + " ".join(parts), copies


def in_half(tokenizer: Tokenizer, early: bool) -> str:
    """What marks that a span stands within one half of a text: its first where it is ``early``."""
    return LATER * tokenizer.starts_differ + (EARLY if early else LATE)


def at_an_edge(reading: Reading, words: Sequence[int]) -> bool:
    """Whether words, and not marks alone, begin or end a text."""
    edges = {0, reading.encoding.word_count - 1}.intersection(words)
    return any(is_letter(reading.text[place]) for word in edges for place in range(*reading.encoding.span(word, word)))


def transplant(reference: str, span: str, label: int) -> str:
    """Put ``span`` into ``reference``: where it says, else between two words; drawn from the three alone."""
    found = _places(reference)
    name = span.lstrip("".join(MARKS))
    marks = span[: len(span) - len(name)]
    if FIRST in marks:
        found = found[LATER in marks :][:1]
    elif LAST in marks:
        found = found[-1:]
    half = max(len(found) // 2, 1)
    if EARLY in marks:
        found = found[:half]
    elif LATE in marks:
        found = found[-half:]
    if LATER in marks and len(found) > 1:
        found = found[found[0] == 0 :]
    place = found[seed_of(reference, span, str(label)) % len(found)]
    return put_in(reference, name, place)


def _glued(tokenizer: Tokenizer, text: str, start: int) -> int:
    """1 where a mark stands right before a word that the tokenizer reads otherwise because of it."""
    before = text[start - 1] if start and tokenizer.glued_differ else " "
    return int(not (before.isspace() or before.isalnum() or unspaced(before)))
