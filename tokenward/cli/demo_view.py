"""The demonstration's result: one table and three examples."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ..demo_figures import DemoFigures, Example
from ..visible import visible
from .snippet import snippet


def print_figures(console: Console, figures: DemoFigures) -> None:
    """Print the table and the examples."""
    console.print()
    console.print(_table(figures))
    for example in figures.examples:
        console.print()
        console.print(_example(example, console.width - 4))
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
    table.add_row("  the same texts without it", *_percent(figures.floor))
    rates = f"{figures.undefended_rate:.0f}", _guarded_rate(figures)
    table.add_row("clean texts/s, text in, answer out, unseen", *rates)
    table.add_section()
    table.add_row("", "clean", "with trigger", style="dim")
    for name, found in (("given a second look", figures.second_look), ("trigger taken out", figures.neutralised)):
        table.add_row(name, f"{found.fpr:.1%}", f"{found.tpr:.1%}")
    return table


def _percent(pair: tuple[float, float]) -> tuple[str, str]:
    return f"{pair[0]:.1%}", f"{pair[1]:.1%}"


def _guarded_rate(figures: DemoFigures) -> str:
    return f"{figures.guarded_rate:.0f} (× {figures.guarded_rate / figures.undefended_rate:.2f})"


def _example(example: Example, width: int) -> Text:
    verdict = example.verdict
    line = snippet(example.text, verdict, width)
    line.append("\n  undefended: ").append(visible(verdict.original_label), style="red")
    line.append("   guarded: ").append(visible(verdict.label), style="green")
    return line
