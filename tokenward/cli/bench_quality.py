"""`tokenward bench quality`: accuracy kept and attacks stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(group: typer.Typer) -> None:
    """Add the command to the group `bench`."""
    group.command(
        epilog="Example: `tokenward bench quality artifacts/demo/guarded --test artifacts/demo/test.jsonl "
        "--attack artifacts/demo/model`"
    )(quality)


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
