"""`tokenward bench serving` and `tokenward bench soak`: the HTTP server under load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .json_option import JsonOption, reserved, write_run

Artifact = Annotated[Path, typer.Argument(help="Calibrated artifact folder.", metavar="ARTIFACT")]
Texts = Annotated[Path, typer.Option(help="Texts to classify: .txt, .tsv, .csv or .jsonl.")]
Words = Annotated[int, typer.Option(help="Use the first so many words of each text, 0 for all.", min=0)]
Limit = Annotated[int, typer.Option(help="Most texts, drawn at random where there are more.", min=32)]


def register(group: typer.Typer) -> None:
    """Add the commands to the group `bench`."""
    group.command(epilog="Example: `tokenward bench serving artifacts/demo/guarded --texts dev.tsv`")(serving)
    group.command(epilog="Example: `tokenward bench soak artifacts/demo/guarded --texts dev.tsv --minutes 10`")(soak)


def serving(
    artifact: Artifact,
    texts: Texts,
    limit: Limit = 800,
    words: Words = 10,
    clients: Annotated[int, typer.Option(help="Clients of the closed loop.", min=1)] = 32,
    rounds: Annotated[int, typer.Option(help="Timed runs of each way to serve.", min=1)] = 5,
    steady: Annotated[float, typer.Option(help="Seconds of steady arrivals.", min=1)] = 30,
    overload: Annotated[float, typer.Option(help="Seconds of overload.", min=1)] = 30,
    json: JsonOption = None,
) -> None:
    """Load the HTTP server with short texts: a closed loop in every mode, then random arrivals, few and too many."""
    from ..bench.record_rows import serving_rows
    from ..bench.serving import measure_serving
    from .console import progress_bar, results
    from .serving_table import serving_table

    file = reserved(json, "serving")
    chosen = _read(texts, limit, words)
    with progress_bar() as bar:
        task = bar.add_task("starting servers", total=None)
        report = measure_serving(
            artifact, chosen, clients, rounds, steady, overload, lambda name: bar.update(task, description=name)
        )
    results().print(serving_table(report))
    settings = {"words": words, "clients": clients, "rounds": rounds, "steady": steady, "overload": overload}
    write_run(file, "serving", serving_rows(report), artifact, chosen, **settings)


def soak(
    artifact: Artifact,
    texts: Texts,
    limit: Limit = 400,
    minutes: Annotated[float, typer.Option(help="How long.", min=0.1)] = 10,
    json: JsonOption = None,
) -> None:
    """Keep the server under mixed load and see whether its memory, threads or files grow; exit code 1 if they do."""
    from ..bench.record_rows import soak_rows
    from ..bench.soak import soak as run
    from .console import progress_bar, results

    file = reserved(json, "soak")
    chosen = _read(texts, limit, 0)
    with progress_bar() as bar:
        task = bar.add_task("starting the server", total=None)
        report = run(artifact, chosen, minutes, lambda what: bar.update(task, description=what))
    warm, end = report.warm, report.end
    console = results()
    answered = ", ".join(f"{count} × {status or 'lost'}" for status, count in sorted(report.statuses.items()))
    console.print(f"{report.minutes:g} minutes: {answered}; {report.dropped:.0f} texts dropped with their client")
    console.print(f"memory {warm.megabytes:.0f} → {end.megabytes:.0f} MB ({report.growth:+.1%})")
    console.print(f"threads {warm.threads} → {end.threads}, files {warm.files} → {end.files}")
    console.print("[green]flat[/]" if report.flat else "[red]it grows[/]")
    write_run(file, "soak", soak_rows(report), artifact, chosen, minutes=minutes)
    raise typer.Exit(0 if report.flat else 1)


def _read(texts: Path, limit: int, words: int) -> list[str]:
    from ..bench.drawing import read_drawn

    return [" ".join(text.split()[:words]) if words else text for text in read_drawn(texts, limit)]
