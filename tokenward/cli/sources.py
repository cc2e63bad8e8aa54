"""Where `classify` takes its texts from: arguments, a file or stdin, in batches and without waiting for the end."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ..errors import InputError
from ..text_files import records, text_of

BATCH = 256
_CHUNK = 1 << 16
_NUMBERED = re.compile(r"text (\d+)( .*)", re.DOTALL)  # as the guard speaks of one of the texts that it is given


@dataclass(frozen=True)
class Batch:
    """Texts to classify, and how to speak of each to the user: by its place in the whole, not in the batch."""

    texts: list[str]
    names: list[str]

    def named(self, error: InputError) -> InputError:
        """The error about "text 3" of this batch, told of that text's name."""
        numbered = _NUMBERED.fullmatch(str(error))
        return error if numbered is None else InputError(self.names[int(numbered[1])] + numbered[2])


def batches(texts: Sequence[str], file: Path | None, text_column: str | None) -> Iterator[Batch]:
    """Yield the texts given as arguments, else those of a file, else the lines of stdin.

    Raises:
        InputError: texts are given in two ways or none, a column without a file, or what cannot be read (named).
    """
    if texts and file:
        raise InputError("texts are given both as arguments and with --file: choose one")
    if text_column and not file:
        raise InputError("--text-column names a column of a file: give that with --file")
    if texts:
        yield from _grouped((text, f"text {number}") for number, text in enumerate(texts))
    elif file:
        rows = records(file, text_column, None)
        yield from _grouped((text, f"{file}:{line}: the text") for line, text, _ in rows)
    elif sys.stdin is None or sys.stdin.isatty():
        raise InputError("no texts: give them as arguments, with --file, or one a line on stdin")
    else:
        yield from _stdin_batches(sys.stdin.fileno())


def _grouped(named: Iterable[tuple[str, str]]) -> Iterator[Batch]:
    source = iter(named)
    while group := list(islice(source, BATCH)):
        yield Batch([text for text, _ in group], [name for _, name in group])


def _stdin_batches(descriptor: int) -> Iterator[Batch]:
    """Yield the lines that have come so far: a slow stream is answered line by line, a fast one in full batches."""
    number, rest = 0, b""
    while chunk := os.read(descriptor, _CHUNK):  # returns as soon as there is anything
        *lines, rest = (rest + chunk).split(b"\n")
        yield from _grouped([_decoded(line, number + i) for i, line in enumerate(lines, 1)])
        number += len(lines)
    if rest:
        yield from _grouped([_decoded(rest, number + 1)])


def _decoded(line: bytes, number: int) -> tuple[str, str]:
    try:
        text = text_of(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"stdin:{number}: not valid UTF-8: convert the text first") from error
    return text, f"stdin:{number}: the text"
