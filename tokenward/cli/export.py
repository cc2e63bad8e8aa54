"""`tokenward export`: a classifier in, a guarded artifact out."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from ..artifact import Preset
from ..errors import InputError, require
from ..export.presets import Precision

_FROM_ONNX = "A classifier that comes as ONNX"
_BY_HAND = "Chosen by hand"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="Example: `tokenward export models/plain --out artifacts/plain`, "
        "or `tokenward export model.onnx --tokenizer models/plain --out artifacts/plain`"
    )(export)


def export(
    model: Annotated[Path, typer.Argument(help="Folder of a transformers classifier, or an .onnx file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder for the artifact.", metavar="DIR")],
    preset: Annotated[
        Preset | None,
        typer.Option(
            help="paper: the published score; late: the same at the last layer; tokenward: our own. "
            "[default: tokenward, or custom with layers of your own]"
        ),
    ] = None,
    precision: Annotated[Precision, typer.Option(help="int8 for CPUs, fp16 for GPUs.")] = "fp32",
    texts: Annotated[
        Path | None, typer.Option(help="Clean texts on which a lower precision is compared with fp32.", metavar="FILE")
    ] = None,
    min_agreement: Annotated[
        float, typer.Option(help="Least share of them that must get the label of fp32.", min=0, max=1)
    ] = 0.95,
    labels: Annotated[str | None, typer.Option(help="Class names: negative,positive. [default: the model's]")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Longest input. [default: the model's, or its tokenizer's where that is less]")
    ] = None,
    token_type_ids: Annotated[bool, typer.Option("--token-type-ids", help="Give the graph this input.")] = False,
    with_weights: Annotated[
        bool, typer.Option("--with-weights", help="Include the checkpoint's weights, for the engine torch-cuda.")
    ] = False,
    gated: Annotated[
        bool | None,
        typer.Option(
            "--gated/--no-gate",
            help="Skip gradients where they cannot matter. [default: the preset's]",
            rich_help_panel=_BY_HAND,
        ),
    ] = None,
    narrowed: Annotated[
        bool,
        typer.Option(
            "--narrowed/--full", help="Compute the last layer for the class token alone.", rich_help_panel=_BY_HAND
        ),
    ] = True,
    merged: Annotated[
        bool,
        typer.Option(
            "--merged/--apart", help="Make queries, keys and values in one product.", rich_help_panel=_BY_HAND
        ),
    ] = True,
    packed: Annotated[
        bool,
        typer.Option(
            "--packed/--padded", help="Spend as little as can be on padding; fp16 does not.", rich_help_panel=_BY_HAND
        ),
    ] = True,
    gradient_layer: Annotated[
        int | None,
        typer.Option(help="Gradient at this layer's input; 0: word embeddings.", rich_help_panel=_BY_HAND),
    ] = None,
    attention_layers: Annotated[
        str | None, typer.Option(help="Layers whose attention is read: 4,5.", rich_help_panel=_BY_HAND)
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            help="Folder with tokenizer.json, for ONNX best with config.json. [default: the model's folder]",
            metavar="DIR",
        ),
    ] = None,
    input_ids: Annotated[str | None, typer.Option(help="Input with the token ids.", rich_help_panel=_FROM_ONNX)] = None,
    attention_mask: Annotated[str | None, typer.Option(help="Input with the mask.", rich_help_panel=_FROM_ONNX)] = None,
    logits: Annotated[str | None, typer.Option(help="Output with the logits.", rich_help_panel=_FROM_ONNX)] = None,
    embedding: Annotated[
        str | None, typer.Option(help="Value with the word embeddings.", rich_help_panel=_FROM_ONNX)
    ] = None,
) -> None:
    """Export a classifier as a guarded graph, checked against the model it came from."""
    require("torch", "export")
    from ..export.discovery import Hints
    from ..export.pipeline import export_classifier, export_onnx
    from ..export.presets import ExportSettings
    from ..texts import iter_texts
    from .console import notes, results
    from .export_watch import ExportBar

    settings = ExportSettings(
        preset=preset or ("custom" if gradient_layer is not None or attention_layers else "tokenward"),
        gradient_layer=gradient_layer,
        attention_layers=_layers(attention_layers),
        narrowed=narrowed,
        gated=gated,
        merged=merged,
        packed=packed,
        precision=precision,
        minimum_agreement=min_agreement,
        token_type_ids=token_type_ids,
        labels=tuple(name.strip() for name in labels.split(",")) if labels else None,
        max_tokens=max_tokens,
    )
    from_onnx = model.suffix.lower() == ".onnx"
    if with_weights and from_onnx:
        raise InputError("--with-weights copies a checkpoint's safetensors: leave it out for an ONNX file")
    if texts and precision == "fp32":
        raise InputError(
            "--texts compares a lower precision with fp32: choose --precision int8 or fp16, or leave it out"
        )
    clean = [text for text in iter_texts(texts) if text] if texts else []
    if texts and not clean:
        raise InputError(f"{texts}: no texts in this file")
    with ExportBar(notes()) as bar:
        if from_onnx:
            if tokenizer is None:
                raise InputError("an ONNX file comes without a tokenizer: give its folder with --tokenizer")
            hints = Hints(input_ids, attention_mask, logits, embedding)
            export_onnx(model, tokenizer, out, settings, bar.step, found=bar.found, hints=hints, texts=clean)
        else:
            _refuse_hints(input_ids, attention_mask, logits, embedding)
            export_classifier(
                model,
                out,
                settings,
                bar.step,
                found=bar.found,
                tokenizer_dir=tokenizer,
                texts=clean,
                with_weights=with_weights,
            )
    _report(out, results())


def _refuse_hints(*hints: str | None) -> None:
    if any(hint is not None for hint in hints):
        raise InputError(
            "--input-ids, --attention-mask, --logits and --embedding name parts of an ONNX file: leave them out for "
            "the folder of a transformers classifier"
        )


def _report(out: Path, console: Console) -> None:
    from ..artifact import load_artifact

    guard = load_artifact(out).guard
    worst = max(guard.parity, key=lambda name: guard.parity[name])
    console.print(
        f"[green]✓[/] {escape(str(out))}: {guard.family}, preset {guard.graph.preset}, {guard.graph.precision}",
        soft_wrap=True,
    )
    console.print(f"  reads at most {guard.graph.max_tokens} tokens of a text", soft_wrap=True)
    converted = "" if guard.graph.precision == "fp32" else "before conversion "
    console.print(f"  {converted}differs from the source model by {guard.parity[worst]:.0e} at most ({worst})")
    if "saliency" not in guard.parity:
        console.print("  its gradient is too small to be measured by differences: it was not compared", soft_wrap=True)
    if guard.agreement:
        shares = ", ".join(f"{k.replace('_', ' ')} {v:.3f}" for k, v in guard.agreement.items() if k != "texts")
        console.print(f"  agrees with fp32 on {guard.agreement['texts']:.0f} texts: {shares}", soft_wrap=True)
    console.print(f"  next: tokenward calibrate {escape(shlex.quote(str(out)))} --clean FILE", soft_wrap=True)


def _layers(text: str | None) -> tuple[int, ...] | None:
    """Read layers given as `4,5`."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--attention-layers is '{text}', expected numbers such as 4,5") from None
