"""`tokenward bench graph`: what the guarded graphs cost beside the plain forward pass."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, cast

import typer

from ..errors import InputError
from ..export.presets import Precision

_PRECISIONS = ["fp32", "int8"]
_SHAPES = ["8x32", "32x64"]


def register(group: typer.Typer) -> None:
    """Add the command to the group `bench`."""
    group.command(
        epilog="Example: `tokenward bench graph artifacts/demo/model --texts artifacts/demo/test.jsonl`, "
        "or `tokenward bench graph artifacts/demo/guarded --model artifacts/demo/model`"
    )(graph)


def graph(
    source: Annotated[
        Path,
        typer.Argument(help="A checkpoint: all presets. An artifact: its own graph.", metavar="CHECKPOINT|ARTIFACT"),
    ],
    model: Annotated[
        Path | None,
        typer.Option(help="Checkpoint that the artifact was exported from, where its weights are not included."),
    ] = None,
    texts: Annotated[
        Path | None, typer.Option(help="Clean texts to time as well; a gate is at work on texts alone.", metavar="FILE")
    ] = None,
    limit: Annotated[int, typer.Option(help="Most texts, drawn at random where there are more.", min=1)] = 200,
    shape: Annotated[list[str], typer.Option(help="Texts x tokens of random batches; may be repeated.")] = _SHAPES,
    precision: Annotated[list[str], typer.Option(help="Of a checkpoint's graphs; may be repeated.")] = _PRECISIONS,
    rounds: Annotated[int, typer.Option(help="Timed runs of each graph on each batch.", min=1)] = 9,
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file as well.")] = None,
) -> None:
    """Time the guarded graphs against the forward pass they were made from, in turn and in shuffled order."""
    from tempfile import TemporaryDirectory

    from ..artifact import load_artifact
    from ..errors import require
    from .console import notes, progress_bar, results

    require("torch", "export")
    from ..bench.drawing import read_drawn
    from ..bench.graph import arriving, measure_graphs, real, shaped
    from ..bench.graph_subject import of_artifact, of_checkpoint
    from ..bench.record import make_record, reserve, write_record
    from ..checksums import weights_sha256
    from .graph_table import graph_table

    sizes = [_size(text) for text in shape]
    for wrong in set(precision) - set(_PRECISIONS):
        raise InputError(f"--precision is '{wrong}', expected {' or '.join(_PRECISIONS)}")
    precisions = cast("list[Precision]", list(dict.fromkeys(precision)))
    chosen = read_drawn(texts, limit) if texts else []
    if json:
        reserve(json, "graph")
    notes().print("[dim]building the graphs ...[/]")
    with TemporaryDirectory() as folder:
        if (source / "guard.json").is_file():
            checkpoint = model or source
            if not any(checkpoint.glob("*.safetensors")):
                raise InputError("the artifact does not include its weights: name the checkpoint with --model")
            sound = load_artifact(source)
            if model:
                sound.check_source(model)
            subject = of_artifact(sound, checkpoint, Path(folder))
        else:
            checkpoint = source
            subject = of_checkpoint(source, Path(folder), precisions)
        workloads = [shaped(*size, subject.vocabulary) for size in sizes]
        workloads += [real(chosen, subject), arriving(chosen, subject)] if chosen else []
        with progress_bar() as bar:
            task = bar.add_task("rounds", total=None)
            rows = measure_graphs(
                subject, workloads, rounds, lambda name: bar.update(task, advance=1, description=name)
            )
    results().print(graph_table(rows, rounds))
    if json:
        hashes = {"model": weights_sha256(checkpoint)}
        record = make_record(
            "graph", [row.record() for row in rows], seed=0, hashes=hashes, settings={"rounds": rounds}
        )
        notes().print(f"[dim]wrote {write_record(record, json)}[/]", soft_wrap=True)


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if match is None:
        raise InputError(f"--shape is '{text}', expected texts x tokens such as 8x32")
    return int(match[1]), int(match[2])
