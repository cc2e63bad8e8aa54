"""Labels as they are written in files: cleaned, compared and put in order."""

from __future__ import annotations

import re
from typing import Any

from .errors import InputError


def label_text(where: str, label: Any) -> str:
    """A label as text; null and NaN are none, and a whole number is one however it is written.

    A column of numbers with gaps has 1.0 for 1 and NaN for the gaps once another tool has written it.
    """
    if label is None or label != label:  # NaN alone is not itself
        return ""
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    if not isinstance(label, str | int) or isinstance(label, bool):
        raise InputError(f"{where}: label {label!r}: give a string or an integer, or leave labels out")
    text = str(label).strip()
    return "" if text.lower() == "nan" else whole_number(text)


def whole_number(text: str) -> str:
    """``1.0`` as ``1``; any other text as it is."""
    return text.partition(".")[0] if re.fullmatch(r"-?[0-9]+\.0+", text) else text


def label_order(name: str) -> tuple[int, int, str]:
    """Numbers by value, then names by alphabet."""
    return (0, int(name), name) if re.fullmatch(r"-?[0-9]{1,18}", name) else (1, 0, name)
