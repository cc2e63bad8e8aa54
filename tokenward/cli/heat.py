"""Explained texts in the terminal: tokens on a background from cold to hot, suspects underlined."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text

from ..explain import Piece
from ..visible import visible

_COLDEST = 0.08  # below this a token keeps the terminal's own colours
_PALE, _HOT = (255, 226, 179), (222, 62, 38)


def heat_text(pieces: Iterable[Piece]) -> Text:
    """Return the pieces as one styled line."""
    line = Text()
    for piece in pieces:
        line.append(visible(piece.text), style=_style(piece))
    return line


def _style(piece: Piece) -> str:
    styles = ["bold underline"] if piece.suspect else []
    if piece.heat is not None and piece.heat >= _COLDEST:
        red, green, blue = (round(a + (b - a) * piece.heat) for a, b in zip(_PALE, _HOT, strict=True))
        styles.append(f"black on rgb({red},{green},{blue})")
    return " ".join(styles)
