"""`tokenward train`: fine-tune a classifier on labelled texts."""

from __future__ import annotations

import typer

from .training_options import (
    BatchSizeOption,
    EpochsOption,
    FittedLengthOption,
    LearningRateOption,
    ModelOption,
    OutOption,
    SeedOption,
    TestOption,
    TrainOption,
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: `tokenward train --train train.tsv --test test.tsv --out models/plain`")(train)


def train(
    train: TrainOption,
    out: OutOption,
    model: ModelOption = "minilm",
    test: TestOption = None,
    epochs: EpochsOption = 3,
    batch_size: BatchSizeOption = 32,
    learning_rate: LearningRateOption = 1e-4,
    max_length: FittedLengthOption = None,
    seed: SeedOption = 0,
) -> None:
    """Fine-tune a classifier; after every epoch the checkpoint in the output folder is whole and current."""
    from ..errors import require

    require("transformers", "purify")
    from ..purify.fine_tuning import fine_tune
    from ..purify.foresight import check_new_folder, fitting_length, known_classes
    from ..purify.prediction import accuracy
    from ..purify.progress import ProgressBars
    from ..purify.training import TrainingSettings
    from ..texts import read_labelled
    from .console import notes, results

    check_new_folder(out)
    length = fitting_length(model, max_length)
    settings = TrainingSettings(epochs, batch_size, learning_rate, max_length=length)
    data = read_labelled(train)
    held_out = read_labelled(test).aligned_to(known_classes(model, data), data.label_names) if test else None
    with ProgressBars(notes()) as bars:
        classifier = fine_tune(model, data, out, settings, seed, bars)
    if held_out is not None:
        share = accuracy(classifier, held_out, length)
        results().print(f"accuracy {share:.2%} on {len(held_out):,} texts")
    notes().print(f"wrote {out}")
