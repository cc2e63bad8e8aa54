"""Where `classify` takes its texts from: arguments, a file or stdin, in batches and without waiting for the end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from ..errors import InputError
from ..texts import iter_texts

BATCH = 256
_CHUNK = 1 << 16


def batches(texts: Sequence[str], file: Path | None, text_column: str | None) -> Iterator[list[str]]:
    """Yield the texts given as arguments, else those of a file, else the lines of stdin.

    Raises:
        InputError: texts are given in two ways or none, a column without a file, or what cannot be read (named).
    """
    if texts and file:
        raise InputError("texts are given both as arguments and with --file: choose one")
    if text_column and not file:
        raise InputError("--text-column names a column of a file: give that with --file")
    if texts:
        yield from _grouped(texts)
    elif file:
        yield from _grouped(iter_texts(file, text_column))
    elif sys.stdin is None or sys.stdin.isatty():
        raise InputError("no texts: give them as arguments, with --file, or one a line on stdin")
    else:
        yield from _stdin_batches(sys.stdin.fileno())


def _grouped(texts: Iterable[str]) -> Iterator[list[str]]:
    source = iter(texts)
    while batch := list(islice(source, BATCH)):
        yield batch


def _stdin_batches(descriptor: int) -> Iterator[list[str]]:
    """Yield the lines that have come so far: a slow stream is answered line by line, a fast one in full batches."""
    number, rest = 0, b""
    while chunk := os.read(descriptor, _CHUNK):  # returns as soon as there is anything
        *lines, rest = (rest + chunk).split(b"\n")
        yield from _grouped([_decoded(line, number + i) for i, line in enumerate(lines, 1)])
        number += len(lines)
    if rest:
        yield [_decoded(rest, number + 1)]


def _decoded(line: bytes, number: int) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
    except UnicodeDecodeError as error:
        raise InputError(f"stdin:{number}: not valid UTF-8: convert the text first") from error
