"""Files of texts as records: plain text (one text a line), tab- or comma-separated tables, and JSON lines.

A table may have a header; its names, like the labels, may carry stray spaces. Blanks around a text are its own: some
tokenizers read them.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from .errors import InputError

TEXT_COLUMNS = ("text", "sentence", "content", "review", "comment", "tweet", "body", "headline")
LABEL_COLUMNS = ("label", "labels", "class", "category", "target")
JSON_LINES = (".jsonl", ".ndjson")

_LONGEST_LABEL, _LABEL_WORDS = 60, 5  # what is longer is a text: of a table without a header, the columns are guessed
_GUESSED_BY = 100  # rows
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?")
_LONGEST_CELL = 1 << 24  # characters; a text may be a book, and the csv module refuses cells of 131,073


def records(path: Path, text_column: str | None, label_column: str | None) -> Iterator[tuple[int, str, Any]]:
    """Yield (line number, text, label as it stands there or '') of every record.

    What is no label is told by who wants one (:func:`.label_values.label_text`).
    """
    kind = path.suffix.lower()
    if kind == ".txt":
        yield from ((number, text_of(line), "") for number, line in _lines(path))
    elif kind in JSON_LINES:
        yield from _json_records(path, text_column, label_column)
    elif kind in _TABLES:
        yield from _table_records(path, _rows(path), text_column, label_column)
    else:
        raise InputError(f"{path}: unknown kind of file '{kind}': give .txt, .tsv, .csv or .jsonl")


def text_of(line: str) -> str:
    """A text without its line end, and nothing where it is all blank."""
    return line.removesuffix("\n").removesuffix("\r") if line.strip() else ""


def is_header(row: Sequence[str]) -> bool:
    """Whether one of the cells is a usual name of a column."""
    return not {name.strip().lower() for name in row}.isdisjoint({*TEXT_COLUMNS, *LABEL_COLUMNS})


def first_row(path: Path) -> list[str] | None:
    """The cells of a table's first row; None for what is no table."""
    if path.suffix.lower() not in _TABLES:
        return None
    return next(([cell.strip() for cell in row] for _, row in _rows(path)), None)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (number, line with its line end), split at line feeds only."""
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                try:
                    line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise InputError(f"{path}:{number}: not valid UTF-8: save the file as UTF-8") from error
                if number == 1 and "\n" not in line and "\r" in line.rstrip("\r"):
                    raise InputError(f"{path}: lines end with carriage returns alone: save it with line feeds")
                yield number, line
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): give an existing text file") from error


def _tsv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Tab-separated rows; quotes mean nothing, since texts contain unbalanced ones."""
    for number, line in _lines(path):
        if line.strip():
            yield number, line.removesuffix("\n").removesuffix("\r").split("\t")


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader((line for _, line in _lines(path)), strict=True)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: not a valid CSV row ({error}): check its quotes") from error


_TABLES = {".tsv": _tsv_rows, ".csv": _csv_rows}


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of a table's rows, without the line that tells Excel the separator.

    Raises:
        InputError: that line tells another separator than the file's name does.
    """
    for number, row in _TABLES[path.suffix.lower()](path):
        told = re.fullmatch("sep=(.)", row[0].strip()) if number == 1 and len(row) == 1 else None
        if told:
            raise InputError(f"{path}:1: columns are separated by '{told[1]}': separate them by {_separator(path)}")
        if number > 1 or row != ["sep=", ""]:
            yield number, row


def _separator(path: Path) -> str:
    return "commas" if path.suffix.lower() == ".csv" else "tabs"


def _table_records(
    path: Path, rows: Iterator[tuple[int, list[str]]], text_column: str | None, label_column: str | None
) -> Iterator[tuple[int, str, Any]]:
    first = next(rows, None)
    if first is None:
        return
    number, row = first
    header = bool(text_column or label_column) or is_header(row)
    columns = tuple(name.strip().lower() for name in row) if header else ("text", "label")[: len(row)]
    _check_separator(path, number, row)
    _check_quotes(path, number, row)
    text_key, label_key = _choose_columns(f"{path}:{number}", columns, text_column, label_column)
    guessed = label_key is not None and not header
    if not header:
        start = [first, *(islice(rows, _GUESSED_BY) if guessed else ())]
        if guessed:
            _check_texts(path, start)
        rows = chain(start, rows)
    for number, row in rows:
        if len(row) != len(columns):
            raise InputError(
                f"{path}:{number}: {len(row)} columns, expected {len(columns)}: check separators and header"
            )
        cells = dict(zip(columns, row, strict=True))
        label = cells[label_key].strip() if label_key else ""
        if guessed:
            _check_guess(path, number, label)
        yield number, text_of(cells[text_key]), label


def _check_separator(path: Path, number: int, row: Sequence[str]) -> None:
    """Refuse a header whose names are held together by what separates nothing here."""
    for separator, name in {";": "semicolons", ",": "commas", "\t": "tabs", "|": "bars"}.items():
        cells = [cell.strip() for cell in row[0].split(separator)]
        if len(row) == 1 < len(cells) and is_header(cells) and all(len(cell.split()) == 1 for cell in cells):
            raise InputError(f"{path}:{number}: columns are separated by {name}: separate them by {_separator(path)}")


def _check_quotes(path: Path, number: int, row: Sequence[str]) -> None:
    """Refuse a header whose names are all in quotes, as those of its texts will be: here these mean nothing."""
    quoted = [re.fullmatch('"(.*)"', cell.strip()) for cell in row]
    if all(quoted) and is_header([cell[1] for cell in quoted if cell]):
        raise InputError(f"{path}:{number}: columns are quoted: save them without quotes, or as .csv")


def _check_texts(path: Path, rows: Sequence[tuple[int, list[str]]]) -> None:
    """Refuse a table without a usual header whose first column is of numbers, or has fewer words than the second."""
    pairs = [(number, row[0], row[1]) for number, row in rows if len(row) == 2]
    for number, _, label in pairs:
        _check_guess(path, number, label.strip())
    told = pairs[1:] or pairs  # the first may be a header
    texts, labels = [text.strip() for _, text, _ in told], [label for _, _, label in told]
    shorter = len(" ".join(texts).split()) < len(" ".join(labels).split())
    if told and (shorter or all(map(_NUMBER.fullmatch, texts))):
        raise InputError(
            f"{path}:{told[0][0]}: cannot tell whether '{texts[0][:40]}' is a text: name the columns 'text' and "
            "'label' in a first row, or that of the texts with --text-column"
        )


def _check_guess(path: Path, number: int, label: str) -> None:
    """Refuse a text where, for want of a header, a label was taken to be."""
    if len(label) > _LONGEST_LABEL or len(label.split()) > _LABEL_WORDS:
        raise InputError(
            f"{path}:{number}: '{label[:40]}' is no label: without a header the first column is read as texts and the "
            "second as labels; name them 'text' and 'label' in a first row"
        )


def _json_records(path: Path, text_column: str | None, label_column: str | None) -> Iterator[tuple[int, str, Any]]:
    text_key: str | None = None
    label_key: str | None = None
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            record: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}:{number}: not valid JSON: put one object on each line") from error
        if not isinstance(record, dict):
            raise InputError(f"{path}:{number}: not a JSON object: put one object with a text on each line")
        cells = {key.strip().lower(): value for key, value in record.items()}
        if text_key is None:
            text_key, label_key = _choose_columns(f"{path}:{number}", tuple(cells), text_column, label_column)
        elif label_key is None:  # the first records may be those without one
            label_key = _label_column([key for key in cells if key != text_key])
        text, label = cells.get(text_key), cells.get(label_key, "") if label_key else ""
        if not isinstance(text, str):
            raise InputError(f"{path}:{number}: '{text_key}' is not a string: give every record a text")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise InputError(f"{path}:{number}: the text has a lone surrogate, which is no valid Unicode: repair it")
        yield number, text if text.strip() else "", label


def _choose_columns(
    where: str, columns: Sequence[str], text_column: str | None, label_column: str | None
) -> tuple[str, str | None]:
    """The names of the text and label columns: as asked, else by their usual names, else by exclusion."""
    asked = [name.strip().lower() for name in (text_column, label_column) if name is not None]
    for name in {*asked, *TEXT_COLUMNS, *LABEL_COLUMNS}:
        if columns.count(name) > 1:
            raise InputError(f"{where}: {columns.count(name)} columns are named '{name}': keep one of them")
    for name in asked:
        if name not in columns:
            raise InputError(f"{where}: no column '{name}': this file has {', '.join(columns)}")
    label = asked[-1] if label_column is not None else _label_column(columns)
    if text_column is not None:
        return asked[0], label
    rest = [column for column in columns if column != label]
    text = next((c for c in TEXT_COLUMNS if c in rest), rest[0] if len(rest) == 1 else None)
    if text is None:
        raise InputError(f"{where}: cannot tell which column holds the text: name it 'text' in the header")
    return text, label


def _label_column(columns: Sequence[str]) -> str | None:
    return next((column for column in LABEL_COLUMNS if column in columns), None)
