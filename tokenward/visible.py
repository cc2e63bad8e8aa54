"""Texts made safe to show: what steers a terminal or hides from a reader becomes visible."""

from __future__ import annotations

import unicodedata

_BLANKS = frozenset("\t\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")


def visible(text: str) -> str:
    """Return ``text`` on one line, with control, formatting and lone surrogate characters written as escapes.

    Line ends and tabs become blanks. Zero-width and bidirectional marks are shown on purpose: triggers hide in them.
    """
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if character in _BLANKS:
        return " "
    if unicodedata.category(character) in ("Cc", "Cf", "Cs"):
        code = ord(character)
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return character
