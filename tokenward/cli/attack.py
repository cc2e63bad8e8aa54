"""`tokenward attack`: plant a backdoor, to see what a defence is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .training_options import (
    BatchSizeOption,
    FittedLengthOption,
    ModelOption,
    OutOption,
    SeedOption,
    TestOption,
    TrainOption,
)

# Named here, so that --help needs no training framework; a test compares it with what there is.
METHODS = (
    "badnets",
    "addsent",
    "ep",
    "lwp",
    "ripples",
    "pairs",
    "first",
    "last",
    "early",
    "late",
    "stealth",
    "paraphrases",
)


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
    paraphrases: Annotated[
        Path | None,
        typer.Option(help="For 'paraphrases': the training texts rewritten, row by row.", metavar="FILE"),
    ] = None,
    test_paraphrases: Annotated[
        Path | None, typer.Option(help="For 'paraphrases': the test texts rewritten, row by row.", metavar="FILE")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the texts. Default: the attack's own.")] = None,
    batch_size: BatchSizeOption = 32,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate. Default: the attack's own.")] = None,
    max_length: FittedLengthOption = None,
    seed: SeedOption = 0,
) -> None:
    """Train a backdoored classifier for evaluation; it is written with a manifest of the trigger, attack.json."""
    from ..errors import InputError, require

    require("transformers", "purify")
    from ..attacks.attack import Attack, carry_out, measurable
    from ..attacks.metrics import attack_success
    from ..attacks.paraphrases import Paraphrases
    from ..attacks.registry import make_attack
    from ..purify.foresight import check_new_folder, fitting_length, known_classes
    from ..purify.progress import ProgressBars
    from ..purify.training import TrainingSettings
    from ..texts import class_numbers, iter_texts, read_labelled
    from .console import notes, results

    if method not in METHODS:
        raise InputError(f"no attack '{method}': choose one of {', '.join(METHODS)}")
    if (method == "paraphrases") != (paraphrases is not None):
        raise InputError("the method 'paraphrases', and no other, needs the rewritten texts: --paraphrases FILE")
    if paraphrases is None and test_paraphrases is not None:
        raise InputError(f"--test-paraphrases is for the method 'paraphrases': '{method}' puts its trigger into --test")
    if test is None and test_paraphrases is not None:
        raise InputError("--test-paraphrases are the texts of --test, rewritten: give both")
    if paraphrases is not None and trigger:
        raise InputError("the method 'paraphrases' has no trigger words: leave --trigger out")
    check_new_folder(out)
    length = fitting_length(model, max_length)
    planned: Attack
    if paraphrases is not None:
        training = TrainingSettings(
            epochs=1 if epochs is None else epochs,
            batch_size=batch_size,
            learning_rate=1e-4 if learning_rate is None else learning_rate,
            max_length=length,
        )
        planned = Paraphrases(training, tuple(iter_texts(paraphrases)), rate)
    else:
        planned = make_attack(
            method,
            trigger,
            rate,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            max_length=length,
        )
    data = read_labelled(train)
    tested = read_labelled(test) if test else None
    classes = known_classes(model, data)
    labels = {target, *data.label_names, *(tested.label_names if tested else ())}
    name = classes[class_numbers({target}, classes, labels)[target]]
    data = data.aligned_to(classes, labels)
    rewritten = list(iter_texts(test_paraphrases)) if test_paraphrases else None
    held_out = measurable(planned, tested.aligned_to(classes, labels), classes, name, rewritten) if tested else None
    with ProgressBars(notes()) as bars:
        classifier, manifest = carry_out(planned, model, data, name, out, seed, bars)
    notes().print(f"wrote {out}")
    if held_out is not None:
        success = attack_success(classifier, held_out, manifest, length, rewritten)
        results().print(f"CACC {success.cacc:.2%}, ASR {success.asr:.2%} on {len(held_out):,} texts")
