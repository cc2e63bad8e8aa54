"""The part of a text that matters, with its suspects marked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from rich.text import Text

from ..explain import Piece
from ..runtime.verdict import Verdict
from .heat import heat_text


def snippet(text: str, verdict: Verdict, width: int) -> Text:
    """Return about ``width`` characters on one line: the beginning, or what surrounds the first suspect."""
    start, stop = 0, len(text)
    if len(text) > width:
        place = verdict.suspects[0].start if verdict.suspects else 0
        if place > width * 3 // 4:
            start = text.rfind(" ", 0, place - width // 2) + 1
        stop = max(text.rfind(" ", start, start + width - 2), start + width // 2)
    shown = heat_text(_within(_pieces(text, verdict), start, stop))
    return Text.assemble("… " if start else "", shown, " …" if stop < len(text) else "")


def _pieces(text: str, verdict: Verdict) -> list[Piece]:
    """The text cut at its suspects, without heat."""
    cuts = sorted({0, len(text), *(cut for s in verdict.suspects for cut in (s.start, s.end))})
    return [Piece(text[a:b], None, any(s.start <= a < s.end for s in verdict.suspects)) for a, b in pairwise(cuts)]


def _within(pieces: list[Piece], start: int, stop: int) -> Iterator[Piece]:
    """What of the pieces lies between two places in the text."""
    position = 0
    for piece in pieces:
        yield replace(piece, text=piece.text[max(start - position, 0) : max(stop - position, 0)])
        position += len(piece.text)
