"""Options that the commands which train have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ModelOption = Annotated[
    str, typer.Option("--model", "-m", help="Checkpoint folder, or 'minilm' for the bundled encoder.")
]
TrainOption = Annotated[
    Path, typer.Option("--train", help="Labelled texts to train on (.tsv, .csv, .jsonl).", metavar="FILE")
]
TestOption = Annotated[
    Path | None, typer.Option("--test", help="Labelled texts to measure the result on.", metavar="FILE")
]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="New folder for the checkpoint.", metavar="DIR")]
EpochsOption = Annotated[int, typer.Option(help="Passes over the training texts.")]
BatchSizeOption = Annotated[int, typer.Option(help="Texts per step.")]
LearningRateOption = Annotated[float, typer.Option(help="Peak learning rate.")]
MaxLengthOption = Annotated[int, typer.Option(help="Tokens per text; longer texts are truncated.")]
FittedLengthOption = Annotated[
    int | None,
    typer.Option(
        "--max-length",
        help="Tokens per text; longer texts are truncated. Default: 128, or what the model reads if less.",
    ),
]
# What both numpy and torch take.
SeedOption = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of every random draw.")]
