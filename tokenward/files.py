"""Files that are seen whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .errors import InputError


@contextmanager
def writing(path: Path) -> Iterator[IO[str]]:
    """Open a text file that is there when the block ends well, or stays what it was: it is written beside it first.

    A link stays a link, and a pipe or a device is written to as it is.
    """
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8") as stream:
            yield stream
        return
    target = Path(os.path.realpath(path))
    part = target.with_name(target.name + ".part")
    try:
        with part.open("w", encoding="utf-8") as stream:
            yield stream
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def replace_text(path: Path, text: str) -> None:
    """Write a text file as :func:`writing` does."""
    with writing(path) as stream:
        stream.write(text)


def check_writable(path: Path) -> None:
    """Find out before long work whether its result can be written.

    Raises:
        InputError: the path is a folder, or its folder is not there or not writable.
    """
    if path.is_dir():
        raise InputError(f"'{path}' is a folder: name a file in it")
    if path.exists() and not path.is_file():  # a pipe or a device, which stays where it is
        able = os.access(path, os.W_OK)
    else:
        folder = Path(os.path.realpath(path)).parent
        able = folder.is_dir() and os.access(folder, os.W_OK)
    if not able:
        raise InputError(f"'{path}' cannot be written: its folder is not there, or not yours to write to")
