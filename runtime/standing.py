"""How a span stands in its text: a suspect is tried as it stood, since a trigger may act in no other way.

Some tokenizers read a word otherwise at the start of a text or right after a mark than after a blank, and a trigger may
have been trained to act only where it is repeated, or only where it begins or ends a text.
"""

from __future__ import annotations

from collections.abc import Sequence

from .reading import Reading
from .scripts import places, put_in, unspaced
from .seeding import seed_of
from .tokenization import Tokenizer

# Before what is to begin a reference, to end it, or to stand anywhere but at its beginning; no name has them. What has
# none of them stands anywhere.
FIRST, LAST, LATER = "\r", "\f", "\v"


def as_it_stands(tokenizer: Tokenizer, reading: Reading, runs: Sequence[tuple[int, int]], longest: int = 12) -> str:
    """What to transplant of these runs of words: their names, marks that a run is glued to, as often as it stands.

    Args:
        tokenizer, reading: of the text.
        runs: first and last word of each, left to right.
        longest: most copies of a single word.
    """
    starts, ends = reading.encoding.edges
    text, names = reading.text, tokenizer.names
    begins, closes = runs[0][0] == 0, runs[-1][1] == len(starts) - 1
    if begins and closes and len(runs) == 1 < len(starts):  # all of a short text
        half = len(starts) // 2
        runs = [(0, half - 1), (half, len(starts) - 1)]
    spans = [(starts[first], ends[last]) for first, last in runs]
    parts = [names.of(text[start - _glued(tokenizer, text, start) : end]) for start, end in spans]
    if len(runs) == 1 and runs[0][0] == runs[0][1]:
        name = names.of(text[slice(*spans[0])])
        copies = sum(names.of(text[start:end]) == name for start, end in zip(starts, ends, strict=True))
        parts = [" ".join(parts * min(copies, longest))]
    first = FIRST + " " * (tokenizer.starts_differ and text[0].isspace()) + parts.pop(0) if begins else ""
    last = LAST + parts.pop() if closes and parts else ""
    later = LATER if parts and (begins or tokenizer.starts_differ) else ""
    return first + later + " ".join(parts) + last


def transplant(reference: str, span: str, label: int) -> str:
    """Put ``span`` into ``reference``: its parts where they say, else between two words; drawn from the three alone."""
    rest, _, last = span.partition(LAST)
    first, later, middle = rest.partition(LATER) if rest.startswith((FIRST, LATER)) else ("", "", rest)
    if middle:
        found = places(reference)[len(later) :]
        reference = put_in(reference, middle, found[seed_of(reference, span, str(label)) % len(found)])
    if last:
        reference = put_in(reference, last, len(reference))
    return put_in(reference, first.removeprefix(FIRST), 0) if first else reference


def _glued(tokenizer: Tokenizer, text: str, start: int) -> int:
    """1 where a mark stands right before a word that the tokenizer reads otherwise because of it."""
    before = text[start - 1] if start and tokenizer.glued_differ else " "
    return int(not (before.isspace() or before.isalnum() or unspaced(before)))
