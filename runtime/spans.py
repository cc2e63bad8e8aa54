"""Spans of words in a reading: how they are named, where else they stand, what a text is without them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .reading import Reading
from .tokenization import Tokenizer

Offsets = tuple[int, int]  # characters, the end exclusive
Words = tuple[int, int]  # words, both ends inclusive


@dataclass(frozen=True, slots=True)
class Span:
    """Words ``first`` to ``last`` (inclusive) of a reading; ``text`` is normalised: one trigger has one name."""

    first: int
    last: int
    text: str


def span_of(tokenizer: Tokenizer, reading: Reading, first: int, last: int) -> Span:
    """The span of words ``first`` to ``last``."""
    start, end = reading.encoding.span(first, last)
    return Span(first, last, tokenizer.normalise(reading.text[start:end]))


def occurrences(tokenizer: Tokenizer, reading: Reading, span: Span) -> list[Words]:
    """First and last word of every place where ``span`` stands in its reading, left to right, not overlapping."""
    width = span.last - span.first
    found: list[Words] = []
    for word in range(reading.encoding.word_count - width):
        free = not found or word > found[-1][1]
        if free and span_of(tokenizer, reading, word, word + width).text == span.text:
            found.append((word, word + width))
    return found


def widened(reading: Reading, places: Sequence[Words], left: int, right: int) -> list[Words]:
    """Places with so many neighbours taken in on each side; places that then touch become one."""
    last_word = reading.encoding.word_count - 1
    wider: list[Words] = []
    for first, last in places:
        first, last = max(first - left, 0), min(last + right, last_word)
        if wider and first <= wider[-1][1]:
            first = wider.pop()[0]
        wider.append((first, last))
    return wider


def offsets_of(reading: Reading, places: Sequence[Words]) -> list[Offsets]:
    """Character offsets of places in a reading."""
    return [reading.encoding.span(first, last) for first, last in places]


def kept_without(text: str, spans: Iterable[Offsets]) -> list[int]:
    """Positions of ``text`` that remain without the spans, and without the spare blank each would leave."""
    kept = list(range(len(text)))
    for start, stop in sorted(spans, reverse=True):
        opens = start == 0 or text[start - 1].isspace()
        last = stop == len(text)
        before = int(opens and last and start > 0)
        after = int(opens and not last and text[stop].isspace())
        text = text[: start - before] + text[stop + after :]
        del kept[start - before : stop + after]
    return kept
