"""What a folder holds was built from, so that only what is missing or out of date is built again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from .errors import InputError
from .files import replace_text

STAMPS = "built.json"


class Shelf:
    """A folder whose entries are built once.

    Args:
        folder: made when the first entry is built.
        console: told what is built and what was there.

    Raises:
        InputError: the folder's record of what was built is damaged.
    """

    def __init__(self, folder: Path, console: Console) -> None:
        self._file = folder / STAMPS
        self._console = console
        self._stamps = self._read()

    def ensure(self, path: Path, key: str, what: str, make: Callable[[Path], None]) -> None:
        """Have ``path`` built by ``make`` unless it was built before from what ``key`` stands for.

        Raises:
            InputError: there is a ``path`` that was not built here; it is left alone.
        """
        shown = escape(str(path))
        if self._stamps.get(path.name) == key and path.exists():
            self._console.print(f"[green]✓[/] {what}: {shown} (built before)", soft_wrap=True)
            return
        if path.exists():
            self._remove(path)
        self._console.print(f"[bold]building the {what}[/]")
        self._note(path.name, "unfinished")
        make(path)
        self._note(path.name, key)
        self._console.print(f"[green]✓[/] {what}: {shown}", soft_wrap=True)

    def _read(self) -> dict[str, str]:
        if not self._file.is_file():
            return {}
        try:
            return dict(json.loads(self._file.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise InputError(f"'{self._file}' is damaged: remove its folder to build everything again") from error

    def _remove(self, path: Path) -> None:
        if path.name not in self._stamps:
            raise InputError(f"'{path}' was not built here: choose another folder")
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()

    def _note(self, name: str, key: str) -> None:
        self._stamps[name] = key
        self._file.parent.mkdir(parents=True, exist_ok=True)
        replace_text(self._file, json.dumps(self._stamps, indent=2) + "\n")
