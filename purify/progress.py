"""Progress of training in the terminal: one bar per stage, with the loss and the time left."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class ProgressBars:
    """A :data:`Watch` that draws; where the console is no terminal, it prints ten lines per stage instead."""

    def __init__(self, console: Console) -> None:
        """Draw on ``console``."""
        self._console = console
        self._tasks: dict[str, TaskID] = {}
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.3f}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> ProgressBars:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, stage: str, step: int, steps: int, loss: float) -> None:
        """Show that ``step`` of ``steps`` is done."""
        if self._console.is_terminal:
            # A stage that starts again (another round of the same name) gets a new bar.
            if stage not in self._tasks or step == 1:
                self._tasks[stage] = self._bars.add_task(stage, total=steps, loss=loss)
            self._bars.update(self._tasks[stage], completed=step, loss=loss)
        elif step * 10 // steps > (step - 1) * 10 // steps:
            self._console.print(f"{stage}: step {step} of {steps}, loss {loss:.3f}")
