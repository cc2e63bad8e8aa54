"""Verdicts as table rows in the terminal, written batch by batch under one header."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..explain import Measure, pieces
from ..runtime.verdict import Action, Verdict
from ..visible import visible
from .heat import heat_text
from .snippet import snippet

COLOURS: dict[Action, str] = {
    "passed": "green",
    "cleared": "cyan",
    "neutralised": "bold red",
    "flagged": "bold yellow",
    "blocked": "bold yellow",
    "unscorable": "bold magenta",
}
_FIXED = 7 + 11 + 8 + 6 * 2  # columns of known width, and the space between columns


class VerdictTable:
    """A table that can be written in parts: its column widths do not depend on the rows.

    Args:
        labels: the model's class names.
        measure: colour the texts by this measure; None leaves them plain.
    """

    def __init__(self, console: Console, labels: Sequence[str], measure: Measure | None) -> None:
        self._console = console
        self._measure = measure
        self._label_width = min(max(len(visible(label)) for label in [*labels, "answer"]), 24)
        self._text_width = max(console.width - _FIXED - self._label_width, 20)
        self._header = True

    def write(self, texts: Sequence[str], verdicts: Sequence[Verdict]) -> None:
        """Print one row per verdict."""
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=self._header, header_style="dim")
        table.add_column("answer", width=self._label_width, no_wrap=True)
        table.add_column("p", width=7, justify="right")
        table.add_column("action", width=11)
        table.add_column("score", width=8, justify="right")
        table.add_column("text", width=self._text_width)
        for text, verdict in zip(texts, verdicts, strict=True):
            table.add_row(*self._row(text, verdict))
        self._console.print(table)
        self._header = False

    def _row(self, text: str, verdict: Verdict) -> tuple[Text, ...]:
        score = "–" if verdict.anomaly_score is None else f"{verdict.anomaly_score:.3g}"
        if self._measure:
            shown = heat_text(pieces(text, verdict, self._measure))
        else:
            shown = snippet(text, verdict, self._text_width)
            shown.truncate(self._text_width, overflow="ellipsis")  # escapes and wide characters take more room
        return (
            Text(visible(verdict.label)),
            Text(f"{verdict.score:.1%}"),
            Text(verdict.action, style=COLOURS[verdict.action]),
            Text(score),
            shown,
        )
