"""Tokenising calls part by part, so that one with much to read does not keep the texts of others waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from time import monotonic

from ..errors import InputError
from .calls import Call, Case
from .guard import Guard
from .queueing import Entry
from .tokenization import Encoding, Tokenizer

CHARACTERS_OF_A_PART = 16_384  # and the rest of the text that reaches it: no text is cut
CHARACTERS_OF_A_ROUND = 32_768  # of all parts that are tokenised together, and the rest of the last


@dataclass(frozen=True, slots=True)
class Part:
    """The texts of a call that are tokenised next; none where nobody waits for it any more."""

    call: Call
    start: int
    texts: Sequence[str]

    @property
    def characters(self) -> int:
        """Of all its texts."""
        return sum(map(_size, self.texts))


async def next_parts(waiting: asyncio.Queue[Call]) -> list[Part]:
    """A part of each call that is taken from ``waiting``: at least one, and as many as a round has room for."""
    parts = [_part(await waiting.get())]
    room = CHARACTERS_OF_A_ROUND - parts[0].characters
    while room > 0 and not waiting.empty():
        parts.append(_part(waiting.get_nowait()))
        room -= parts[-1].characters
    return parts


def encode_parts(tokenizer: Tokenizer, parts: Sequence[Part]) -> list[list[Encoding] | InputError]:
    """Tokenise the texts of several parts together; where a text is refused, each part on its own."""
    try:
        encodings = iter(tokenizer.encode([text for part in parts for text in part.texts]))
    except InputError:
        return [_encode_alone(tokenizer, part) for part in parts]
    return [list(islice(encodings, len(part.texts))) for part in parts]


def taken_in(call: Call, encodings: list[Encoding] | InputError, guard: Guard) -> list[Entry[Case]]:
    """Note what a part of a call has become: with the last come entries for the queue, with an error its end."""
    try:
        if isinstance(encodings, InputError):
            raise encodings
        call.encodings += encodings
        if call.gone or len(call.encodings) < len(call.texts):
            return []
        if not call.truncate:
            guard.refuse_truncated(call.encodings)
    except InputError as error:
        call.fail(error)
        return []
    now = monotonic()
    return [
        Entry(text, encoding, call.gate, False, now, [case])
        for text, encoding, case in zip(call.texts, call.encodings, call.open_cases(now), strict=True)
    ]


def _part(call: Call) -> Part:
    start = stop = len(call.encodings)
    room = 0 if call.gone else CHARACTERS_OF_A_PART
    while room > 0 and stop < len(call.texts):
        room -= _size(call.texts[stop])
        stop += 1
    return Part(call, start, call.texts[start:stop])


def _size(text: str) -> int:
    return 1 + len(text) if isinstance(text, str) else 1  # what is no string is refused by the tokenizer


def _encode_alone(tokenizer: Tokenizer, part: Part) -> list[Encoding] | InputError:
    before = [""] * part.start  # in place of the texts before it: an error names a text by its number in the call
    try:
        return tokenizer.encode([*before, *part.texts])[part.start :]
    except InputError as error:
        return error
