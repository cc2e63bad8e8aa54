"""Files that are seen whole or not at all."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import IO

from .errors import InputError

LOCK_SECONDS = 10.0  # that a writer waits for another


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
    part = target.with_name(f"{target.name}.{token_hex(4)}.part")  # others may write the same file
    try:
        with part.open("x", encoding="utf-8") as stream:
            yield stream
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def replace_text(path: Path, text: str) -> None:
    """Write a text file as :func:`writing` does."""
    with writing(path) as stream:
        stream.write(text)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep others that lock the same path waiting until the block ends.

    Where there is no lock to be had (a file system without any, a holder that hangs) the block is run all the same.
    """
    target = Path(os.path.realpath(path))
    with ExitStack() as stack:
        with suppress(OSError, ImportError):
            descriptor = os.open(target.with_name(f".{target.name}.lock"), os.O_WRONLY | os.O_CREAT, 0o600)
            stack.callback(os.close, descriptor)
            _wait_for_lock(descriptor)
        yield


def _wait_for_lock(descriptor: int) -> None:
    import fcntl  # not on Windows

    until = time.monotonic() + LOCK_SECONDS
    while time.monotonic() < until:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return


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


def refuse_source(path: Path, *sources: Path | None) -> None:
    """Keep a command from replacing one of the files that it reads.

    Raises:
        InputError: ``path`` is one of the ``sources``.
    """
    for source in sources:
        if source is not None and path.is_file() and source.exists() and path.samefile(source):
            raise InputError(f"'{path}' is read by this command and would be replaced: choose another file to write")
