"""`tokenward bench detection`: attacks with drawn triggers against every preset and gate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .json_option import JsonOption, reserved
from .training_options import MaxLengthOption, ModelOption

_FILE = "Labelled texts (.tsv, .csv, .jsonl)"


def register(group: typer.Typer) -> None:
    """Add the command to the group `bench`."""
    group.command(
        epilog="Example: `tokenward bench detection --name sst2 --train train.tsv --clean dev.tsv --test test.tsv "
        "--attack badnets-1 --attack addsent --seed 0 --out results/detection-sst2.md`"
    )(detection)


def detection(
    out: Annotated[Path, typer.Option("--out", "-o", help="The table, Markdown; rewritten after every cell.")],
    train: Annotated[Path | None, typer.Option(help=f"{_FILE}. Default: whole BBC News articles.")] = None,
    clean: Annotated[Path | None, typer.Option(help=f"{_FILE} to calibrate on.")] = None,
    test: Annotated[Path | None, typer.Option(help=f"{_FILE} to measure on.")] = None,
    name: Annotated[str, typer.Option(help="What the results call the texts.")] = "bbc",
    work: Annotated[Path, typer.Option(help="Folder for models and finished cells.")] = Path("build/detection"),
    attack: Annotated[list[str] | None, typer.Option(help="May be repeated. Default: all.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="May be repeated. Default: 0, 1 and 2.")] = None,
    defence: Annotated[list[str] | None, typer.Option(help="May be repeated. Default: all.")] = None,
    train_texts: Annotated[int, typer.Option(help="Most texts to train on.", min=100)] = 3000,
    clean_texts: Annotated[int, typer.Option(help="Most texts to calibrate on.", min=100)] = 400,
    test_texts: Annotated[int, typer.Option(help="Most texts to measure on.", min=100)] = 600,
    model: ModelOption = "minilm",
    epochs: Annotated[int, typer.Option(help="Passes over the training texts.")] = 3,
    max_length: MaxLengthOption = 64,
    finished: Annotated[bool, typer.Option("--finished", help="Run nothing; report what is finished.")] = False,
    json: JsonOption = None,
) -> None:
    """Plant backdoors with triggers drawn by a seed and measure every defence; stopped, it goes on where it was."""
    from ..errors import require

    require("transformers", "purify")
    from ..bench.detection import DEFENCES, Detection, DetectionSettings
    from ..bench.detection_attacks import PLANS
    from ..bench.detection_corpus import read_corpus
    from ..bench.detection_report import markdown, rows
    from ..bench.record import make_record, texts_sha256, write_record
    from ..files import refuse_source, replace_text
    from ..purify.progress import ProgressBars
    from ..purify.training import TrainingSettings
    from .console import notes, results

    file = reserved(json, "detection")
    refuse_source(out, train, clean, test)
    # A text is cut where the model would, or the trigger might not be read.
    read = TrainingSettings(max_length=max_length).words_read
    corpus = read_corpus(name, (train, clean, test), (train_texts, clean_texts, test_texts), read)
    attacks, seeds = list(dict.fromkeys(attack or PLANS)), list(dict.fromkeys(seed or (0, 1, 2)))
    defences = list(dict.fromkeys(defence or DEFENCES))
    settings = DetectionSettings(model, epochs, max_length=max_length)
    out.parent.mkdir(parents=True, exist_ok=True)
    cells = []
    with ProgressBars(notes()) as bars:
        grid = Detection(corpus, settings, work, bars, notes().print)
        for cell in grid.run(attacks, seeds, defences, finished):
            cells.append(cell)
            replace_text(out, markdown(cells, attacks, seeds, defences))
    results().print(markdown(cells, attacks, seeds, defences), soft_wrap=True)
    if file:
        parts = {"train": corpus.train, "clean": corpus.clean, "test": corpus.test}
        hashes = {part: texts_sha256(texts.texts) for part, texts in parts.items()}
        sizes = {f"{part}_texts": len(texts) for part, texts in parts.items()}
        given: dict[str, str | int | float | bool] = {
            "model": model,
            "epochs": epochs,
            "max_length": max_length,
            "precision": settings.precision,
            **sizes,
        }
        record = make_record("detection", rows(cells, grid.failed), seed=seeds[0], hashes=hashes, settings=given)
        notes().print(f"[dim]wrote {write_record(record, file)}[/]", soft_wrap=True)
