"""Where commands print: results to stdout, progress and notes to stderr."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def results() -> Console:
    """What the command was asked for: on stdout."""
    return Console(highlight=False)


def notes() -> Console:
    """Progress and remarks: on stderr, so that results can be piped on."""
    return Console(stderr=True, highlight=False)


def progress_bar() -> Progress:
    """A bar on stderr with the count and the time left; it goes away when done, and is not drawn into a file."""
    console = notes()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
