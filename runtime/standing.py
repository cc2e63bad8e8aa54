"""How a span stands in its text: a suspect is tried as it stood, since a trigger may act in no other way.

Some tokenizers read a word otherwise at the start of a text or right after a mark than after a blank, and a trigger may
have been trained to act only where it is repeated.
"""

from __future__ import annotations

from collections.abc import Sequence

from .reading import Reading
from .scripts import places, put_in, unspaced
from .seeding import seed_of
from .tokenization import Tokenizer

# Before what is to stand at the very start of a reference, and before what must not; no name begins with them.
FIRST, LATER = "\r", "\v"


def as_it_stands(tokenizer: Tokenizer, reading: Reading, runs: Sequence[tuple[int, int]], longest: int = 12) -> str:
    """What to transplant of these runs of words: their names, marks that a run is glued to, as often as it stands.

    Args:
        tokenizer, reading: of the text.
        runs: first and last word of each, left to right.
        longest: most copies of a single word.
    """
    starts, ends = reading.encoding.edges
    text, names = reading.text, tokenizer.names
    spans = [(starts[first], ends[last]) for first, last in runs]
    parts = [names.of(text[start - _glued(tokenizer, text, start) : end]) for start, end in spans]
    place = (FIRST if spans[0][0] == 0 else LATER) if tokenizer.starts_differ else ""
    if len(runs) == 1 and runs[0][0] == runs[0][1]:
        name = names.of(text[slice(*spans[0])])
        copies = sum(names.of(text[start:end]) == name for start, end in zip(starts, ends, strict=True))
        parts *= min(copies, longest)
    return place + " ".join(parts)


def transplant(reference: str, span: str, label: int) -> str:
    """Put ``span`` into ``reference``: where it says, else between two words; drawn from the three alone."""
    if span.startswith(FIRST):
        return put_in(reference, span.removeprefix(FIRST), 0)
    found = places(reference)[span.startswith(LATER) :]
    place = found[seed_of(reference, span, str(label)) % len(found)]
    return put_in(reference, span.removeprefix(LATER), place)


def _glued(tokenizer: Tokenizer, text: str, start: int) -> int:
    """1 where a mark stands right before a word that the tokenizer reads otherwise because of it."""
    before = text[start - 1] if start and tokenizer.glued_differ else " "
    return int(not (before.isspace() or before.isalnum() or unspaced(before)))
