"""The demonstration's result: one table and three examples."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ..demo_figures import DemoFigures, Example
from ..runtime.verdict import Verdict
from ..visible import visible
from .heat import heat_text
from .verdict_table import suspects_marked

_CONTEXT = 60


def print_figures(console: Console, figures: DemoFigures) -> None:
    """Print the table and the examples."""
    console.print()
    console.print(_table(figures))
    for example in figures.examples:
        console.print()
        console.print(_example(example))
    console.print()


def _table(figures: DemoFigures) -> Table:
    target = f"“{escape(visible(figures.target))}”"
    title = f"[bold]The backdoor: “{escape(visible(figures.trigger))}” anywhere in a text makes it {target}[/]"
    table = Table(title=title, title_justify="left", header_style="dim")
    table.add_column("")
    table.add_column("undefended", justify="right")
    table.add_column("guarded", justify="right")
    clean, triggered = f"{figures.clean_texts} clean texts", f"{figures.triggered_texts} with the trigger"
    table.add_row(f"right answers, {clean} (CACC)", *_percent(figures.cacc))
    table.add_row(f"answered {target}, {triggered} (ASR)", *_percent(figures.asr), style="bold")
    table.add_row(
        "texts/s, clean, text in, answer out", f"{figures.undefended_rate.median:.0f}", _guarded_rate(figures)
    )
    table.add_section()
    table.add_row("", "clean", "with trigger", style="dim")
    for name, found in (("given a second look", figures.second_look), ("trigger taken out", figures.neutralised)):
        table.add_row(name, f"{found.fpr:.1%}", f"{found.tpr:.1%}")
    return table


def _percent(pair: tuple[float, float]) -> tuple[str, str]:
    return f"{pair[0]:.1%}", f"{pair[1]:.1%}"


def _guarded_rate(figures: DemoFigures) -> str:
    return f"{figures.guarded_rate.median:.0f} (× {figures.relative.median:.2f})"


def _example(example: Example) -> Text:
    verdict = example.verdict
    line = _around(example.text, verdict.suspects[0].start, verdict)
    line.append("\n  undefended: ").append(visible(verdict.original_label), style="red")
    line.append("   guarded: ").append(visible(verdict.label), style="green")
    return line


def _around(text: str, place: int, verdict: Verdict) -> Text:
    """The words around a place in the text, suspects marked."""
    start = max(text.rfind(" ", 0, max(place - _CONTEXT, 0)) + 1, 0)
    stop = text.find(" ", place + _CONTEXT)
    stop = len(text) if stop < 0 else stop
    marked, position = [], 0
    for piece in suspects_marked(text, verdict):
        inside = piece.text[max(start - position, 0) : max(stop - position, 0)]
        marked.append(replace(piece, text=inside))
        position += len(piece.text)
    return Text.assemble("… " * (start > 0), heat_text(marked), " …" * (stop < len(text)))
