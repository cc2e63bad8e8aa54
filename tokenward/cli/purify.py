"""`tokenward purify`: clean a suspect model before it is served."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .training_options import BatchSizeOption, FittedLengthOption, OutOption, SeedOption

# Named here, so that --help needs no training framework; a test compares it with what there is.
METHODS = ("mbtsad", "ts-ft", "btu", "fine-tuning", "reinit-head", "fine-pruning", "fine-mixing")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="Examples: `tokenward purify mbtsad models/suspect --clean clean.tsv --out models/purified`, "
        "`tokenward purify btu minilm --poisoned train.tsv --clean clean.tsv --out models/purified`"
    )(purify)


def purify(
    method: Annotated[str, typer.Argument(help=f"One of: {', '.join(METHODS)}.", metavar="METHOD")],
    model: Annotated[
        str, typer.Argument(help="Suspect checkpoint folder; for btu, the encoder to train.", metavar="MODEL")
    ],
    clean: Annotated[Path, typer.Option(help="Clean labelled texts (.tsv, .csv, .jsonl).", metavar="FILE")],
    out: OutOption,
    test: Annotated[
        Path | None,
        typer.Option(help="Clean labelled texts to measure on. Default: a fifth of --clean.", metavar="FILE"),
    ] = None,
    attack: Annotated[
        Path | None, typer.Option(help="A known attack's manifest, attack.json, to measure ASR.", metavar="FILE")
    ] = None,
    poisoned: Annotated[Path | None, typer.Option(help="For btu: the suspect training set.", metavar="FILE")] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="A setting, such as alpha=0; may be repeated. A wrong name lists all of the method.",
            metavar="NAME=VALUE",
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the texts. Default: the method's own.")] = None,
    batch_size: BatchSizeOption = 32,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Peak learning rate. Default: the method's own, for MiniLM; larger encoders want less."),
    ] = None,
    max_length: FittedLengthOption = None,
    seed: SeedOption = 0,
) -> None:
    """Clean a suspect model with a small set of clean texts; the report is written beside the weights."""
    from ..errors import InputError, require

    require("transformers", "purify")
    from rich.table import Table

    from ..attacks.manifest import load_manifest
    from ..purify.foresight import check_new_folder, fitting_length
    from ..purify.progress import ProgressBars
    from ..purify.registry import make_purifier
    from ..texts import read_labelled
    from .console import notes, results

    settings = dict(part.split("=", 1) for part in setting or () if "=" in part)
    if len(settings) != len(setting or ()):
        raise InputError("--set takes one NAME=VALUE for each setting, such as --set alpha=0")
    check_new_folder(out)
    length = fitting_length(model, max_length)
    suspect_texts = read_labelled(poisoned) if poisoned else None
    purifier = make_purifier(
        method,
        settings,
        suspect_texts,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        max_length=length,
    )
    data = read_labelled(clean)
    held_out = read_labelled(test) if test else None
    manifest = load_manifest(attack) if attack else None
    with ProgressBars(notes()) as bars:
        report = purifier.purify(model, data, out, seed, held_out=held_out, attack=manifest, watch=bars)
    table = Table("", "before", "after", title=f"{report.method}, {report.held_out_texts:,} texts")
    for row in report.rows():
        table.add_row(*row)
    results().print(table)
    notes().print(f"wrote {out}")
