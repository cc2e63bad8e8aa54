"""`tokenward export`: a classifier in, a guarded artifact out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..artifact import Preset
from ..errors import InputError, require
from ..export.presets import Precision


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: `tokenward export models/plain --out artifacts/plain --preset tokenward`")(export)


def export(
    model: Annotated[Path, typer.Argument(help="Folder of a transformers classifier.", metavar="MODEL")],
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder for the artifact.", metavar="DIR")],
    preset: Annotated[
        Preset, typer.Option(help="paper: the published score; late: the same at the last layer; tokenward: our own.")
    ] = "tokenward",
    precision: Annotated[Precision, typer.Option(help="int8 for CPUs, fp16 for GPUs.")] = "fp32",
    gated: Annotated[
        bool | None,
        typer.Option("--gated/--no-gate", help="Skip gradients where they cannot matter. [default: the preset's]"),
    ] = None,
    narrowed: Annotated[
        bool, typer.Option("--narrowed/--not-narrowed", help="Compute the last layer for the class token alone.")
    ] = True,
    gradient_layer: Annotated[
        int | None, typer.Option(help="Preset custom: gradient at the input of this layer; 0 is the word embeddings.")
    ] = None,
    attention_layers: Annotated[
        str | None, typer.Option(help="Preset custom: layers (from 0) whose attention is read, such as 4,5.")
    ] = None,
    labels: Annotated[str | None, typer.Option(help="Class names, such as negative,positive.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest input. [default: the model's]")] = None,
    token_type_ids: Annotated[bool, typer.Option("--token-type-ids", help="Give the graph this input.")] = False,
) -> None:
    """Export a classifier as a guarded graph, checked against the model it came from."""
    require("torch", "export")
    from ..export.pipeline import export_classifier
    from ..export.presets import ExportSettings
    from .console import progress_bar, results

    settings = ExportSettings(
        preset=preset,
        gradient_layer=gradient_layer,
        attention_layers=_layers(attention_layers),
        narrowed=narrowed,
        gated=gated,
        precision=precision,
        token_type_ids=token_type_ids,
        labels=tuple(name.strip() for name in labels.split(",")) if labels else None,
        max_tokens=max_tokens,
    )
    with progress_bar() as bar:
        task = bar.add_task("", total=None)
        export_classifier(
            model,
            out,
            settings,
            lambda what, step, steps: bar.update(task, description=what, completed=step, total=steps),
        )
    _report(out, results())


def _report(out: Path, console: Console) -> None:
    from ..artifact import load_artifact

    guard = load_artifact(out).guard
    worst = max(guard.parity, key=lambda name: guard.parity[name])
    console.print(
        f"[green]✓[/] {out}: {guard.family}, preset {guard.graph.preset}, {guard.graph.precision}", soft_wrap=True
    )
    console.print(f"  differs from the source model by {guard.parity[worst]:.0e} at most ({worst})")
    console.print(f"  next: tokenward calibrate {out} --clean FILE", soft_wrap=True)


def _layers(text: str | None) -> tuple[int, ...] | None:
    """Read layers given as `4,5`."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--attention-layers is '{text}', expected numbers such as 4,5") from None
