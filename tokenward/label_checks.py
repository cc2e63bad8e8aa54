"""What is wrong with the labels of a file as a whole: no row tells it, and training on them would go unnoticed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from .errors import InputError
from .text_files import JSON_LINES, LABEL_COLUMNS, TEXT_COLUMNS, first_row, is_header

# Of fewer texts, every one may have a class of its own.
_ENOUGH = 10
_KNOWN = f"text ({', '.join(TEXT_COLUMNS[1:])}) and label ({', '.join(LABEL_COLUMNS[1:])})"


def check_labels(path: Path, labels: Sequence[str], named: bool) -> None:
    """Refuse labels that cannot be meant; ``named`` says that the caller named a column, so that there is a header.

    Raises:
        InputError: labels differ only in case, most texts have a label of their own, or the first row is a header
            whose names are unknown.
    """
    counts = Counter(labels)
    spelled: dict[str, str] = {}
    for label in counts:
        other = spelled.setdefault(label.lower(), label)
        if other != label:
            raise InputError(f"{path}: labels '{other}' and '{label}' differ only in case: write every class one way")
    if len(labels) < _ENOUGH:
        return
    alone = sum(count == 1 for count in counts.values())
    if 2 * alone > len(labels):
        raise InputError(
            f"{path}: {alone} of {len(labels)} texts have a label of their own, such as {_short(labels[0])}: expected "
            f"a few classes; name the columns in a first row: {_KNOWN}"
        )
    if counts[labels[0]] == 1 and 2 * len(counts) < len(labels) and not named:
        row = first_row(path)
        if row is not None and not is_header(row):
            raise InputError(
                f"{path}:1: the first row holds {', '.join(map(_short, row))}, a label that no other row has, as a "
                f"header of unknown names would: put a header above it, or name its columns {_KNOWN}"
            )


def no_label(path: Path, line: int, named: bool) -> InputError:
    """The error for a row without a label; where no column holds labels, it names the columns that there are."""
    if path.suffix.lower() in JSON_LINES:
        key = "" if named else f", under the key 'label' (or {', '.join(LABEL_COLUMNS[1:])})"
        return InputError(f"{path}:{line}: no label: give every text one{key}")
    row = None if named else first_row(path)
    header = row is not None and (is_header(row) or len(row) == 1)
    if row is None or not header or {name.lower() for name in row} & {*LABEL_COLUMNS}:
        return InputError(f"{path}:{line}: no label: give every text one (columns text and label)")
    kind = "commas" if path.suffix.lower() == ".csv" else "tabs"
    advice = (
        f"separate the columns with {kind}"
        if len(row) == 1 and path.suffix.lower() in (".csv", ".tsv")
        else f"name the one with the labels 'label' (or {', '.join(LABEL_COLUMNS[1:])})"
    )
    count = "one column" if len(row) == 1 else "columns"
    return InputError(f"{path}:{line}: no label: this file has the {count} {', '.join(map(_short, row))}; {advice}")


def _short(cell: str) -> str:
    return f"'{cell[:40]}…'" if len(cell) > 40 else f"'{cell}'"
