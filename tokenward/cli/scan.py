"""`tokenward scan`: look for trigger words before a model is served."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TRIGGER_FOUND = 3


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="Example: `tokenward scan artifacts/demo/guarded --json scan.json --cache warm.json`  \n"
        "Exit code 3 when a trigger is confirmed, so that a pipeline can stop there."
    )(scan)


def scan(
    artifact: Annotated[
        Path, typer.Argument(help="Calibrated artifact folder of preset tokenward.", metavar="ARTIFACT")
    ],
    json: Annotated[Path | None, typer.Option(help="Write the findings to this file.")] = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Keep outcomes here: an interrupted scan goes on from it, and serving can start with it."),
    ] = None,
    first: Annotated[bool, typer.Option("--first", help="Stop at the first confirmed trigger.")] = False,
    remember: Annotated[
        bool,
        typer.Option("--remember", help="Write confirmed triggers into the artifact: they are always suspects then."),
    ] = False,
    top: Annotated[int, typer.Option(help="Rows to show.", min=1)] = 20,
) -> None:
    """Try every whole word of the vocabulary, and every word of two letters, as a trigger for every class.

    It sees single words that the tokenizer knows whole, also such as act on texts of one class, in long texts or in one
    half of a text only. It cannot see phrases, longer words of several pieces, or triggers that are not words; those
    are what the guard watches for while it serves.
    """
    import time

    from rich.markup import escape

    from ..artifact import check_replaceable
    from ..files import check_writable
    from ..runtime.guard import GuardOptions, load
    from ..runtime.scan import remember as write_triggers
    from ..runtime.scan import scan as run
    from ..visible import visible
    from .console import progress_bar, results
    from .scan_table import findings_table, write_findings

    for path in (json, cache):
        if path is not None:
            check_writable(path)
    if remember:
        check_replaceable(artifact)
    guard = load(artifact, options=GuardOptions(cache_capacity=10_000_000))
    if cache is not None and cache.exists():
        guard.cache.load(cache)
    saved = time.monotonic()

    try:
        with progress_bar() as bar:
            task = bar.add_task("trying words", total=None)

            def advance(count: int, total: int) -> None:
                nonlocal saved
                bar.update(task, advance=count, total=total)
                if cache is not None and time.monotonic() - saved > 10:
                    guard.cache.save(cache)
                    saved = time.monotonic()

            report = run(guard, first, advance)
    finally:
        if cache is not None:
            guard.cache.save(cache)
    if json is not None:
        write_findings(report, json)
    console = results()
    console.print(findings_table(report, top))
    for label in report.skipped:
        console.print(
            f"[yellow]class '{escape(visible(label))}' was not scanned: too few references of other classes[/]"
        )
    if remember:  # last: what was found is told even where it cannot be written
        write_triggers(guard, report)
        if cache is not None:
            guard.cache.save(cache)
    if report.triggers:
        count = len(report.triggers)
        console.print(f"[red]✗[/] {count} {'trigger' if count == 1 else 'triggers'}: all references follow them alike")
        raise typer.Exit(TRIGGER_FOUND)
    console.print(f"[green]✓[/] none of {report.words} words is one that all references follow (phrases are not seen)")
