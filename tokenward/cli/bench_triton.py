"""`tokenward bench triton`: the price of each hop to an inference server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .json_option import JsonOption, reserved, write_run


def register(group: typer.Typer) -> None:
    """Add the command to the group `bench`."""
    group.command(epilog="Example: `tokenward bench triton artifacts/demo/guarded --texts artifacts/demo/test.jsonl`")(
        triton
    )


def triton(
    artifact: Annotated[Path, typer.Argument(help="Calibrated artifact folder.", metavar="ARTIFACT")],
    texts: Annotated[Path, typer.Option(help="Texts to classify: .txt, .tsv, .csv or .jsonl.")],
    limit: Annotated[int, typer.Option(help="Most texts, drawn at random where there are more.", min=32)] = 400,
    rounds: Annotated[int, typer.Option(help="Timed runs of each way.", min=1)] = 3,
    json: JsonOption = None,
) -> None:
    """Race the guard in process, over the project's own HTTP server and on a real Triton; 1, 8 and 32 clients."""
    from ..bench.drawing import read_drawn
    from ..bench.record_rows import triton_rows
    from ..bench.triton import measure_triton
    from .console import progress_bar, results
    from .triton_table import triton_table

    file = reserved(json, "triton")
    chosen = read_drawn(texts, limit)
    with progress_bar() as bar:
        task = bar.add_task("starting servers", total=None)
        report = measure_triton(
            artifact, chosen, rounds=rounds, progress=lambda name: bar.update(task, advance=1, description=name)
        )
    results().print(triton_table(report))
    write_run(file, "triton", triton_rows(report), artifact, chosen, rounds=rounds)
