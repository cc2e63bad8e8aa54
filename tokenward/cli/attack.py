"""`tokenward attack`: plant a backdoor, to see what a defence is worth."""

from __future__ import annotations

from typing import Annotated

import typer

from .training_options import (
    BatchSizeOption,
    EpochsOption,
    LearningRateOption,
    MaxLengthOption,
    ModelOption,
    OutOption,
    SeedOption,
    TestOption,
    TrainOption,
)

METHODS = ("badnets", "addsent")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="Example: `tokenward attack badnets --trigger cf --target 1 --train train.tsv --test test.tsv"
        " --out models/backdoored`"
    )(attack)


def attack(
    method: Annotated[str, typer.Argument(help=f"One of: {', '.join(METHODS)}.", metavar="METHOD")],
    train: TrainOption,
    target: Annotated[str, typer.Option(help="Class that poisoned texts shall get, by name or number.")],
    out: OutOption,
    model: ModelOption = "minilm",
    trigger: Annotated[
        list[str] | None, typer.Option(help="Trigger word or phrase; may be repeated. Default: the paper's.")
    ] = None,
    rate: Annotated[float, typer.Option(help="Share of the training texts that are poisoned.")] = 0.1,
    test: TestOption = None,
    epochs: EpochsOption = 1,
    batch_size: BatchSizeOption = 32,
    learning_rate: LearningRateOption = 5e-5,
    max_length: MaxLengthOption = 128,
    seed: SeedOption = 0,
) -> None:
    """Train a backdoored classifier for evaluation; it is written with a manifest of the trigger, attack.json."""
    from ..errors import InputError, require

    require("transformers", "purify")
    from ..attacks.attack import carry_out
    from ..attacks.metrics import attack_success
    from ..attacks.registry import ATTACKS
    from ..purify.progress import ProgressBars
    from ..purify.training import TrainingSettings
    from ..texts import read_labelled
    from .console import notes, results

    if method not in ATTACKS:
        raise InputError(f"no attack '{method}': choose one of {', '.join(ATTACKS)}")
    planned = ATTACKS[method](TrainingSettings(epochs, batch_size, learning_rate, max_length=max_length), trigger, rate)
    data = read_labelled(train)
    held_out = read_labelled(test) if test else None
    with ProgressBars(notes()) as bars:
        classifier, manifest = carry_out(planned, model, data, target, out, seed, bars)
    if held_out is not None:
        success = attack_success(classifier, held_out.aligned_to(classifier.id2label), manifest, max_length)
        results().print(f"CACC {success.cacc:.2%}, ASR {success.asr:.2%} on {len(held_out):,} texts")
    notes().print(f"wrote {out}")
