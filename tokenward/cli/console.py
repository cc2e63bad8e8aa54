"""Where commands print: results to stdout, progress and notes to stderr, and never a text's own control characters."""

from __future__ import annotations

import unicodedata

from rich.console import Console


def results() -> Console:
    """What the command was asked for: on stdout."""
    return Console(highlight=False)


def notes() -> Console:
    """Progress and remarks: on stderr, so that results can be piped on."""
    return Console(stderr=True, highlight=False)


def visible(text: str) -> str:
    """The text on one line with control characters made visible, so that a text cannot steer the terminal."""
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if character in "\t\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029":
        return " "
    if unicodedata.category(character) in ("Cc", "Cf", "Cs"):
        return f"\\x{ord(character):02x}" if ord(character) < 256 else f"\\u{ord(character):04x}"
    return character
