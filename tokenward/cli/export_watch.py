"""Progress of an export in the terminal: the step under way, and what was found in the graph."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


class ExportBar:
    """Draws a bar over the steps; where the console is no terminal, it prints a line for each."""

    def __init__(self, console: Console) -> None:
        """Draw on ``console``."""
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console, transient=True
        )
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> ExportBar:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def step(self, what: str, number: int, steps: int) -> None:
        """Show that step ``number`` of ``steps`` begins."""
        if self._console.is_terminal:
            self._bar.update(self._task, description=what, completed=number, total=steps)
        else:
            self._console.print(f"{what} ...")

    def found(self, parts: dict[str, str]) -> None:
        """List what was found in the graph."""
        for name, value in parts.items():
            self._console.print(f"  [dim]{name}: {value}[/]", soft_wrap=True)
