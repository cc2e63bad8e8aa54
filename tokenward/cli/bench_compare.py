"""`tokenward bench compare`: the guard against getting slower or worse unnoticed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(group: typer.Typer) -> None:
    """Add the command to the group `bench`."""
    group.command(epilog="Example: `tokenward bench compare before.json after.json`")(compare)


def compare(
    before: Annotated[Path, typer.Argument(help="Record of the earlier run.", metavar="A.json")],
    after: Annotated[Path, typer.Argument(help="Record of the later run.", metavar="B.json")],
    full: Annotated[bool, typer.Option("--full", help="Also show what stayed within its spread.")] = False,
) -> None:
    """Show figures that moved beyond their spread; exit code 1 if any got worse, 0 if none did."""
    from rich.table import Table

    from ..bench import compare as comparing
    from ..bench.record import Metric, read_record
    from .console import notes, results

    def shown(metric: Metric) -> str:
        return f"{metric.value:.4g} ({metric.low:.4g}–{metric.high:.4g}) {metric.unit}".strip()

    comparison = comparing.compare(read_record(before), read_record(after))
    for warning in comparison.warnings:
        notes().print(f"[yellow]{warning}[/]")
    for which, rows in (("first", comparison.only_before), ("second", comparison.only_after)):
        for name in rows:
            notes().print(f"only the {which} record has figures of: {name}", markup=False)
    moved = [change for change in comparison.changes if full or change.verdict != "within"]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("", "figure", "before", "after", ""):
        table.add_column(title)
    colours = {"worse": "red", "better": "green", "within": "dim"}
    for change in moved:
        verdict = f"[{colours[change.verdict]}]{change.verdict}[/]"
        table.add_row(change.row, change.metric, shown(change.before), shown(change.after), verdict)
    console = results()
    if moved:
        console.print(table)
    console.print(f"{len(comparison.changes)} figures compared, {len(comparison.worse)} worse beyond their spread")
    raise typer.Exit(1 if comparison.worse else 0)
