"""Spans of words in a reading: how they are named, where else they stand, what a text is without them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from .reading import Reading
from .scripts import is_letter
from .standing import as_it_stands
from .tokenization import Tokenizer

Offsets = tuple[int, int]  # characters, the end exclusive
Words = tuple[int, int]  # words, both ends inclusive


@dataclass(frozen=True, slots=True)
class Span:
    """Words of a reading, neighbours or not; ``text`` is normalised: one trigger has one name.

    Attributes:
        runs: stretches of neighbouring words, left to right.
        put: what is put into a reference to try it; ``copies`` of a word, if it is a single one.
        within: it is only a part of its word, of those that marks part in it.
    """

    runs: tuple[Words, ...]
    text: str
    put: str
    within: bool = False
    copies: int = 1

    @property
    def words(self) -> list[int]:
        """Every word of it, left to right."""
        return [word for first, last in self.runs for word in range(first, last + 1)]


def span_of(tokenizer: Tokenizer, reading: Reading, words: Iterable[int]) -> Span:
    """The span of these words; the first that is given says in which half of the text they are tried."""
    given = [*words]
    runs: list[Words] = []
    for word in sorted({*given}):
        first = runs.pop()[0] if runs and runs[-1][1] == word - 1 else word
        runs.append((first, word))
    name = " ".join(_text(tokenizer, reading, *run) for run in runs)
    put, copies = as_it_stands(tokenizer, reading, runs, given[0] if given else 0)
    return Span(tuple(runs), name, put, copies=copies)


def word_name(tokenizer: Tokenizer, reading: Reading, word: int) -> str:
    """The name of one word."""
    return _text(tokenizer, reading, word, word)


def word_names(tokenizer: Tokenizer, reading: Reading) -> list[str]:
    """The name of every word of a reading, by index."""
    return [tokenizer.names.of(reading.text[start:end]) for start, end in zip(*reading.encoding.edges, strict=True)]


def everywhere(tokenizer: Tokenizer, reading: Reading, span: Span) -> tuple[Reading, list[Words]]:
    """Every place where a run of a reading's ``span`` stands, left to right, not overlapping; and in which reading.

    What the model cannot tell from it stands for it: whatever a tokenizer does not know is one word to the model. That
    reading is the one of the whole text, unless the words which the model read last are others there: what was read
    without its end may be one word, and several with it.
    """
    ids = word_ids(reading)
    runs = [(_text(tokenizer, reading, first, last), ids[first : last + 1]) for first, last in span.runs]
    text = whole(tokenizer, reading)
    places = _occurrences(tokenizer, text, runs)
    if text is not reading:
        found = offsets_of(text, places)
        if not all(any(a < end and start < b for a, b in found) for start, end in offsets_of(reading, span.runs)):
            return reading, _occurrences(tokenizer, reading, runs)
    return text, places


def _occurrences(
    tokenizer: Tokenizer, reading: Reading, runs: Sequence[tuple[str, list[tuple[int, ...]]]]
) -> list[Words]:
    """Where runs stand, each given as its name and the tokens of its words."""
    starts, ends = reading.encoding.edges
    ids = word_ids(reading)
    found: list[Words] = []
    taken: set[int] = set()
    for wanted, tokens in runs:
        for word in range(len(starts) - len(tokens) + 1):
            place = range(word, word + len(tokens))
            if taken.isdisjoint(place) and (
                ids[word : place.stop] == tokens
                or tokenizer.names.of(reading.text[starts[word] : ends[place[-1]]]) == wanted
            ):
                taken.update(place)
                found.append((word, place[-1]))
    return sorted(found)


def word_ids(reading: Reading) -> list[tuple[int, ...]]:
    """The tokens of every word of a reading, by index."""
    ids: list[list[int]] = [[] for _ in range(reading.encoding.word_count)]
    for word, token in zip(reading.encoding.words.tolist(), reading.encoding.ids.tolist(), strict=True):
        if word >= 0:
            ids[word].append(token)
    return list(map(tuple, ids))


def whole(tokenizer: Tokenizer, reading: Reading) -> Reading:
    """A reading whose words are those of the whole text, also where the model read its beginning only.

    What is taken out makes room for what comes next: a trigger that is repeated without end would follow itself.
    """
    if not reading.encoding.truncated:
        return reading
    return replace(reading, encoding=tokenizer.encode_whole(reading.text))


def _text(tokenizer: Tokenizer, reading: Reading, first: int, last: int) -> str:
    start, end = reading.encoding.span(first, last)
    return tokenizer.names.of(reading.text[start:end])


def segments(reading: Reading, word: int) -> list[tuple[Offsets, Offsets]]:
    """What marks part in a word, left to right: of "on/cf/off" three, of most words all of it.

    Returns:
        Character offsets of each, and of what goes with it: the marks that part it from the one before, or the next.
    """
    start, end = reading.encoding.span(word, word)
    found: list[Offsets] = []
    for place in range(start, end):
        if is_letter(reading.text[place]):
            joined = found.pop()[0] if found and found[-1][1] == place else place
            found.append((joined, place + 1))
    if len(found) < 2:
        return [(part, part) for part in found]
    going = [(found[0][0], found[1][0]), *((before[1], part[1]) for before, part in pairwise(found))]
    return list(zip(found, going, strict=True))


def merged(spans: Iterable[Offsets]) -> list[Offsets]:
    """Spans from left to right, those that overlap made one."""
    found: list[Offsets] = []
    for start, end in sorted(spans):
        if found and start < found[-1][1]:
            before = found.pop()
            start, end = before[0], max(end, before[1])
        found.append((start, end))
    return found


def beside(reading: Reading, cuts: Sequence[int], left: int, right: int) -> list[int]:
    """Words of a reading up to so many before and after the characters ``cuts``, the nearest first."""
    starts, _ = reading.encoding.edges
    near = []
    for step in range(max(left, right)):
        for after in (bisect_left(starts, cut) for cut in cuts):
            near += [after - 1 - step] * (step < left) + [after + step] * (step < right)
    return list(dict.fromkeys(word for word in near if 0 <= word < len(starts)))


def offsets_of(reading: Reading, places: Sequence[Words]) -> list[Offsets]:
    """Character offsets of places in a reading."""
    starts, ends = reading.encoding.edges
    return [(starts[first], ends[last]) for first, last in places]


def text_without(text: str, spans: Iterable[Offsets]) -> str:
    """What is left of a text without these spans of it."""
    return "".join(text[place] for place in kept_without(text, spans))


def kept_without(text: str, spans: Iterable[Offsets]) -> list[int]:
    """Positions of ``text`` that remain without the spans, and without the spare blank each would leave."""
    kept: list[int] = []  # from the end to the beginning
    end = len(text)
    for start, stop in sorted(spans, reverse=True):
        kept.extend(range(end - 1, stop - 1, -1))
        opens = start == 0 or text[start - 1].isspace()
        spare_before = opens and not kept and start > 0
        if opens and kept and text[kept[-1]].isspace():
            kept.pop()
        end = start - spare_before
    kept.extend(range(end - 1, -1, -1))
    return kept[::-1]
