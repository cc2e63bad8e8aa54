"""`tokenward bench speed`: the guard against the undefended model and the published method."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .json_option import JsonOption, reserved, write_run


def register(group: typer.Typer) -> None:
    """Add the command to the group `bench`."""
    group.command(
        epilog="Example: `tokenward bench speed artifacts/demo/guarded --model artifacts/demo/model "
        "--texts artifacts/demo/test.jsonl`"
    )(speed)


def speed(
    artifact: Annotated[Path, typer.Argument(help="Calibrated artifact folder.", metavar="ARTIFACT")],
    model: Annotated[Path, typer.Option(help="The checkpoint folder that it was exported from.")],
    texts: Annotated[Path, typer.Option(help="Texts to classify: .txt, .tsv, .csv or .jsonl.")],
    limit: Annotated[int, typer.Option(help="Most texts, drawn at random where there are more.", min=1)] = 400,
    rounds: Annotated[int, typer.Option(help="Timed runs of each system.", min=1)] = 5,
    json: JsonOption = None,
) -> None:
    """Race the guard against the undefended model and the published method in plain PyTorch, text in, answer out.

    The undefended model runs in ONNX Runtime's default settings; `bench overhead` has it at its best settings, too.
    """
    from ..errors import require
    from .console import notes, progress_bar, results

    require("torch", "export")
    from ..bench.drawing import read_drawn
    from ..bench.record_rows import speed_rows
    from ..bench.speed import BARE_SETTINGS, measure_speed
    from .speed_table import speed_table

    file = reserved(json, "speed")
    chosen = read_drawn(texts, limit)
    notes().print("[dim]exporting the undefended model ...[/]")
    with progress_bar() as bar:
        task = bar.add_task("rounds", total=None)
        report = measure_speed(
            artifact, model, chosen, rounds, lambda name: bar.update(task, advance=1, description=name)
        )
    results().print(speed_table(report))
    settings: dict[str, str | int] = {"preset": report.preset, "rounds": rounds, "undefended": BARE_SETTINGS}
    write_run(file, "speed", speed_rows(report), artifact, chosen, **settings)
