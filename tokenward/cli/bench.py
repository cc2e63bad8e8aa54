"""`tokenward bench`: what the defence costs, measured on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import bench_serving


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        help="Measure what the defence costs, on this machine.",
        no_args_is_help=True,
        epilog="Example: `tokenward bench speed artifacts/demo/guarded --model artifacts/demo/model --texts dev.tsv`",
    )
    group.command(
        epilog="Example: `tokenward bench speed artifacts/demo/guarded --model artifacts/demo/model --texts dev.tsv`"
    )(speed)
    group.command(epilog="Example: `tokenward bench triton artifacts/demo/guarded --texts dev.tsv`")(triton)
    group.command(
        epilog="Example: `tokenward bench quality guarded --test test.tsv --attack checkpoint/attack.json --limit 1000`"
    )(quality)
    bench_serving.register(group)
    app.add_typer(group, name="bench")


def speed(
    artifact: Annotated[Path, typer.Argument(help="Calibrated artifact folder.", metavar="ARTIFACT")],
    model: Annotated[Path, typer.Option(help="The checkpoint folder that it was exported from.")],
    texts: Annotated[Path, typer.Option(help="Texts to classify: .txt, .tsv, .csv or .jsonl.")],
    limit: Annotated[int, typer.Option(help="Use only the first so many texts.", min=1)] = 400,
    rounds: Annotated[int, typer.Option(help="Timed runs of each system.", min=1)] = 5,
) -> None:
    """Race the guard against the undefended model and the published method in plain PyTorch, text in, answer out."""
    from itertools import islice

    from ..errors import require
    from ..texts import iter_texts
    from .console import notes, progress_bar, results

    require("torch", "export")
    from ..bench.speed import measure_speed
    from .speed_table import speed_table

    chosen = list(islice((text for text in iter_texts(texts) if text), limit))
    notes().print("[dim]exporting the undefended model ...[/]")
    with progress_bar() as bar:
        task = bar.add_task("rounds", total=None)
        report = measure_speed(
            artifact, model, chosen, rounds, lambda name: bar.update(task, advance=1, description=name)
        )
    results().print(speed_table(report))


def triton(
    artifact: Annotated[Path, typer.Argument(help="Calibrated artifact folder.", metavar="ARTIFACT")],
    texts: Annotated[Path, typer.Option(help="Texts to classify: .txt, .tsv, .csv or .jsonl.")],
    limit: Annotated[int, typer.Option(help="Use only the first so many texts.", min=32)] = 400,
    rounds: Annotated[int, typer.Option(help="Timed runs of each way.", min=1)] = 3,
) -> None:
    """Race the guard in process, over the project's own HTTP server and on a real Triton; 1, 8 and 32 clients."""
    from itertools import islice

    from ..bench.triton import measure_triton
    from ..texts import iter_texts
    from .console import progress_bar, results
    from .triton_table import triton_table

    chosen = list(islice((text for text in iter_texts(texts) if text), limit))
    with progress_bar() as bar:
        task = bar.add_task("starting servers", total=None)
        report = measure_triton(
            artifact, chosen, rounds=rounds, progress=lambda name: bar.update(task, advance=1, description=name)
        )
    results().print(triton_table(report))


def quality(
    artifacts: Annotated[list[Path], typer.Argument(help="Calibrated artifact folders.", metavar="ARTIFACT...")],
    test: Annotated[Path, typer.Option(help="Labelled clean test texts: .tsv, .csv or .jsonl.")],
    attack: Annotated[Path, typer.Option(help="The attack's manifest, attack.json, or the checkpoint that holds it.")],
    limit: Annotated[int | None, typer.Option(help="Use only the first so many texts.", min=1)] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file as well.")] = None,
) -> None:
    """Measure accuracy kept and attacks stopped, with every artifact on the same texts."""
    from ..attacks.manifest import load_manifest
    from ..bench.quality import measure_quality
    from ..runtime.guard import load
    from ..texts import LabelledTexts, read_labelled
    from .console import progress_bar, results
    from .quality_table import quality_table, write_quality

    manifest, texts = load_manifest(attack), read_labelled(test)
    if limit is not None:
        texts = LabelledTexts(texts.texts[:limit], texts.labels[:limit], texts.label_names)
    measured = {}
    with progress_bar() as bar:
        task = bar.add_task("", total=3 * len(artifacts))
        for path in artifacts:
            guard = load(path)
            graph = guard.artifact.guard.graph
            measured[f"{graph.preset} {graph.precision}"] = measure_quality(
                guard, texts, manifest, lambda what: bar.update(task, advance=1, description=what)
            )
    results().print(quality_table(measured))
    if json is not None:
        write_quality(measured, json)
