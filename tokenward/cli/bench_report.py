"""`tokenward bench report`: records as one page to read, print and send."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(group: typer.Typer) -> None:
    """Add the command to the group `bench`."""
    group.command(
        epilog="Example: `tokenward bench report build/records --out report.html`, after benchmarks with "
        "`--json build/records`"
    )(report)


def report(
    records: Annotated[
        list[Path],
        typer.Argument(
            help="Records, or folders of them (of one command on the same files the newest counts).",
            metavar="RECORD...",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The page; a summary goes beside it as Markdown.")],
    title: Annotated[str, typer.Option(help="Its heading.")] = "What the guard costs and what it buys",
    purification: Annotated[
        Path | None, typer.Option(help="Also show the grid that `tokenward evaluate` wrote as JSON.")
    ] = None,
) -> None:
    """Write one self-contained HTML page and a Markdown summary of what was measured."""
    from ..bench.record import read_records
    from ..bench.report import check_page, read_cells, write_report
    from .console import notes

    check_page(out)
    written = write_report(read_records(records), out, title, read_cells(purification) if purification else ())
    notes().print(f"wrote {' and '.join(map(str, written))}", soft_wrap=True)
