"""`tokenward bench flood`: an attacker against the budget for second looks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .json_option import JsonOption, reserved, write_run


def register(group: typer.Typer) -> None:
    """Add the command to the group `bench`."""
    group.command(epilog="Example: `tokenward bench flood artifacts/demo/guarded --texts artifacts/demo/test.jsonl`")(
        flood
    )


def flood(
    artifact: Annotated[Path, typer.Argument(help="Calibrated artifact folder.", metavar="ARTIFACT")],
    texts: Annotated[Path, typer.Option(help="Normal texts: .txt, .tsv, .csv or .jsonl.")],
    limit: Annotated[int, typer.Option(help="Most texts, drawn at random where there are more.", min=1)] = 500,
    requests: Annotated[int, typer.Option(help="Texts with a fresh odd word each.", min=500)] = 10_000,
    seed: Annotated[int, typer.Option(help="Of the words and their places.")] = 0,
    burst: Annotated[int, typer.Option(help="Second-look tokens saved up at the start.", min=0)] = 200_000,
    json: JsonOption = None,
) -> None:
    """Send texts with a fresh odd word each, between normal ones: throughput, memory, and what the fallback decided."""
    from ..bench.drawing import read_drawn
    from ..bench.flood import flood as run
    from ..bench.flood import flood_row
    from ..runtime.guard import GuardOptions, load
    from .console import progress_bar, results

    file = reserved(json, "flood")
    guard = load(artifact, options=GuardOptions(budget_burst=burst))
    normal = read_drawn(texts, limit)
    with progress_bar() as bar:
        task = bar.add_task("requests", total=requests)
        found = run(guard, load(artifact), normal, requests, seed, lambda count: bar.update(task, advance=count))
    console = results()
    console.print(f"normal   {found.normal.median:.0f} texts/s")
    console.print(
        f"flooded  {found.flooded.median:.0f} texts/s, × {found.times_normal.median:.2f} "
        f"({found.times_normal.low:.2f}–{found.times_normal.high:.2f}), slowest chunk × {found.slowest:.2f}"
    )
    console.print(f"of {requests} requests {found.suspicious} suspicious, {found.fallbacks} decided by the fallback")
    (early, late), (few, many) = found.memory, found.entries
    console.print(f"memory   {early:.0f} → {late:.0f} MiB; outcomes remembered {few} → {many}")
    write_run(file, "flood", [flood_row(found)], artifact, normal, requests=requests, burst=burst, seed=seed)
