"""Spans of words in a reading: how they are named, where else they stand, what a text is without them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .reading import Reading
from .tokenization import Tokenizer

Offsets = tuple[int, int]


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


def occurrences(tokenizer: Tokenizer, reading: Reading, span: Span) -> list[Offsets]:
    """Character offsets of every place where ``span`` stands in its reading, left to right, not overlapping."""
    width = span.last - span.first
    found: list[Offsets] = []
    for word in range(reading.encoding.word_count - width):
        offsets = reading.encoding.span(word, word + width)
        free = not found or offsets[0] >= found[-1][1]
        if free and span_of(tokenizer, reading, word, word + width).text == span.text:
            found.append(offsets)
    return found


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
