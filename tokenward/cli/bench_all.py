"""`tokenward bench all`: every benchmark and the report, on the demonstration's model or on the user's own texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .training_options import MaxLengthOption, ModelOption, SeedOption

_GRAPHS = ["tokenward-fp32", "tokenward-int8", "late-fp32", "paper-fp32"]
_OF_TRAINING = ("clean", "target", "model", "epochs", "learning_rate", "max_length")


def register(group: typer.Typer) -> None:
    """Add the command to the group `bench`."""
    group.command(
        "all", epilog="Example: `tokenward bench all`, or `tokenward bench all --train train.tsv --test test.tsv`"
    )(everything)


def everything(
    context: typer.Context,
    train: Annotated[
        Path | None, typer.Option(help="Labelled texts: a BadNets and an AddSent model are trained on them.")
    ] = None,
    test: Annotated[Path | None, typer.Option(help="Labelled texts to measure on.")] = None,
    clean: Annotated[
        Path | None, typer.Option(help="Clean texts to calibrate on. [default: some of the training texts, kept apart]")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Class that triggers shall turn texts to. [default: the last]")
    ] = None,
    demo: Annotated[Path, typer.Option(help="What `tokenward demo` built: measured where no texts are given.")] = Path(
        "artifacts/demo"
    ),
    graph: Annotated[list[str], typer.Option(help="Preset and precision; may be repeated.")] = _GRAPHS,
    rounds: Annotated[int, typer.Option(help="Timed runs of each system.", min=1)] = 3,
    seconds: Annotated[float, typer.Option(help="What a timed run should take.", min=0.01)] = 0.4,
    budget: Annotated[float, typer.Option(help="Seconds for scaling; 0 leaves it out.", min=0)] = 120,
    limit: Annotated[int, typer.Option(help="Measure quality on so many test texts.", min=1)] = 200,
    peers: Annotated[bool, typer.Option(help="Measure ONION, STRIP, RAP and X-GRAAD, too.")] = True,
    lm: Annotated[Path | None, typer.Option(help="Causal language model for ONION.")] = None,
    model: ModelOption = "minilm",
    epochs: Annotated[int, typer.Option(help="Passes over the training texts.", min=1)] = 1,
    learning_rate: Annotated[float | None, typer.Option(help="Of the attacks. [default: their own]")] = None,
    max_length: MaxLengthOption = 64,
    seed: SeedOption = 0,
    work: Annotated[Path, typer.Option(help="Folder for models, artifacts and records.")] = Path("build/bench"),
    out: Annotated[Path, typer.Option("--out", "-o", help="The page; a summary goes beside it.")] = Path(
        "build/bench/report.html"
    ),
) -> None:
    """Run every benchmark one after the other and write the report; each step is a command that can be typed alone."""
    from datetime import datetime, timezone

    from ..artifact import load_artifact
    from ..errors import InputError, require

    for package in ("torch", "jinja2"):
        require(package, "bench")
    from ..bench.everything import (
        ATTACKS,
        Effort,
        Subject,
        Texts,
        Training,
        attack_steps,
        in_process_of_its_own,
        measuring_steps,
        own_texts,
        run_folder,
        run_steps,
    )
    from ..bench.record import read_records
    from ..bench.report import check_page, write_report
    from ..texts import read_labelled
    from .console import notes

    if (train is None) != (test is None):
        raise InputError("give both --train and --test, or neither for what the demonstration built")
    _refuse_unused(context, ("demo",) if train else _OF_TRAINING, "without" if train else "with")
    check_page(out)
    effort = Effort(tuple(dict.fromkeys(graph)), rounds, seconds, budget, limit, peers, lm)
    steps = []
    if train is not None and test is not None:
        texts = own_texts(train, test, clean, work, seed)
        training = Training(
            model, target or read_labelled(train).label_names[-1], epochs, learning_rate, max_length, seed
        )
        folder = run_folder(work, texts, training)
        steps = attack_steps(texts, folder, training)
        subjects = [Subject(folder / attack, {}) for attack in ATTACKS]
    else:
        if not (demo / "guarded").is_dir():
            raise InputError(f"nothing in '{demo}': run 'tokenward demo' first, or give --train and --test")
        texts = Texts(demo / "calibration.jsonl", demo / "calibration.jsonl", demo / "test.jsonl")
        folder = run_folder(work, texts, Training(str(demo / "model")))
        guarded = load_artifact(demo / "guarded").guard.graph
        subjects = [Subject(demo / "model", {f"{guarded.preset}-{guarded.precision}": demo / "guarded"})]
    results = folder / f"records-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}"
    steps += measuring_steps(subjects, texts, folder, results, effort, seed)
    run_steps(steps, in_process_of_its_own, lambda what: notes().print(f"[bold]{what}[/]", soft_wrap=True))
    written = write_report(read_records([results]), out, "What the guard costs and what it buys")
    notes().print(f"wrote {' and '.join(map(str, written))}", soft_wrap=True)


def _refuse_unused(context: typer.Context, names: tuple[str, ...], how: str) -> None:
    """Raise InputError where an option was given that this run would not heed."""
    from ..errors import InputError

    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise InputError(f"--{name.replace('_', '-')} has a meaning only {how} --train and --test")
