"""`tokenward bench sensitivity`: how much hangs on each of the detector's constants."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .json_option import JsonOption, reserved


def register(group: typer.Typer) -> None:
    """Add the command to the group `bench`."""
    group.command(
        epilog="Example: `tokenward bench sensitivity models/guarded --attack models/backdoored "
        "--clean dev.tsv --test test.tsv`"
    )(sensitivity)


def sensitivity(
    artifacts: Annotated[
        list[Path], typer.Argument(help="Calibrated artifacts of preset tokenward.", metavar="ARTIFACT...")
    ],
    attack: Annotated[
        list[Path], typer.Option(help="The attack on each artifact: attack.json, or the checkpoint that holds it.")
    ],
    clean: Annotated[Path, typer.Option(help="Clean texts to calibrate on: .txt, .tsv, .csv or .jsonl.")],
    test: Annotated[Path, typer.Option(help="Labelled clean test texts: .tsv, .csv or .jsonl.")],
    calibration_texts: Annotated[int, typer.Option(help="Most texts to calibrate on, drawn at random.", min=100)] = 400,
    limit: Annotated[
        int, typer.Option(help="Use only about so many test texts, drawn evenly over the classes.", min=1)
    ] = 300,
    json: JsonOption = None,
) -> None:
    """Change one constant at a time: what the trigger still wins, clean texts changed, and the cost of a cold cache."""
    from ..attacks.manifest import load_manifest
    from ..bench.defence_names import path_ends
    from ..bench.drawing import drawn, read_drawn
    from ..bench.record import make_record, write_record
    from ..bench.sensitivity import Subject, measure_sensitivity, sensitivity_rows, variations
    from ..errors import InputError
    from ..runtime.guard import load
    from ..texts import read_labelled
    from .console import notes, progress_bar, results
    from .sensitivity_table import sensitivity_table

    if len(attack) != len(artifacts):
        raise InputError(f"{len(attack)} attacks for {len(artifacts)} artifacts: give one for each, in their order")
    file = reserved(json, "sensitivity")
    known = read_drawn(clean, calibration_texts)
    texts = drawn(read_labelled(test), limit)
    guards = dict(zip(path_ends(artifacts), map(load, artifacts), strict=True))
    manifests = map(load_manifest, attack)
    subjects = {
        name: Subject(guard, known, texts, manifest)
        for (name, guard), manifest in zip(guards.items(), manifests, strict=True)
    }
    with progress_bar() as bar:
        task = bar.add_task("", total=len(list(variations())))
        measured = measure_sensitivity(subjects, lambda what: bar.update(task, advance=1, description=what))
    results().print(sensitivity_table(measured))
    if file:
        hashes = {name: guard.artifact.digest for name, guard in guards.items()}
        settings = {"calibration_texts": len(known), "texts": len(texts)}
        record = make_record("sensitivity", sensitivity_rows(measured), seed=0, hashes=hashes, settings=settings)
        notes().print(f"[dim]wrote {write_record(record, file)}[/]", soft_wrap=True)
