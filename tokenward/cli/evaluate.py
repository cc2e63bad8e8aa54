"""`tokenward evaluate`: attacks against purifiers, with and without the guard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..artifact import Preset
from .training_options import FittedLengthOption, ModelOption, SeedOption, TrainOption

_ATTACKS = ["badnets", "addsent", "ep", "lwp"]
_PURIFIERS = ["none", "fine-tuning", "ts-ft", "mbtsad", "fine-pruning", "btu"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="Example: `tokenward evaluate --train train.tsv --test test.tsv --attack badnets --purifier none"
        " --purifier mbtsad --work build/evaluate --out results/purify`"
    )(evaluate)


def evaluate(
    train: TrainOption,
    test: Annotated[Path, typer.Option(help="Labelled texts to measure on.", metavar="FILE")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where results go: PREFIX.md, .csv, .json, .png.")],
    work: Annotated[Path, typer.Option(help="Folder for models and finished cells.")] = Path("build/evaluate"),
    attack: Annotated[list[str] | None, typer.Option(help=f"May be repeated. Default: {', '.join(_ATTACKS)}.")] = None,
    purifier: Annotated[
        list[str] | None, typer.Option(help=f"May be repeated. Default: {', '.join(_PURIFIERS)}.")
    ] = None,
    guard: Annotated[bool, typer.Option(help="Measure every model through the guard as well.")] = True,
    model: ModelOption = "minilm",
    target: Annotated[str, typer.Option(help="Class that poisoned texts shall get.")] = "1",
    clean_share: Annotated[float, typer.Option(help="Share of the training texts that purifiers get.")] = 0.2,
    epochs: Annotated[int | None, typer.Option(help="Epochs of the attacks. Default: their own.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak rate of the attacks, save ep, which keeps its own. Default: their own.")
    ] = None,
    purify_epochs: Annotated[
        int | None, typer.Option(help="Epochs of every step of a purifier. Default: its own.")
    ] = None,
    purify_rate: Annotated[float | None, typer.Option(help="Peak rate of the purifiers. Default: their own.")] = None,
    preset: Annotated[Preset, typer.Option(help="What the guarded graph computes.")] = "tokenward",
    max_length: FittedLengthOption = None,
    seed: SeedOption = 0,
) -> None:
    """Run attacks × purifiers × guard; stopped and started again, it goes on where it was."""
    from ..errors import require

    require("transformers", "purify")
    require("matplotlib", "bench")
    from ..bench.purification import Grid
    from ..bench.purification_cell import GridSettings
    from ..bench.purification_report import write_report
    from ..files import refuse_source
    from ..purify.foresight import check_classes, check_place, fitting_length, known_classes
    from ..purify.progress import ProgressBars
    from ..texts import class_numbers, read_labelled
    from .console import notes, results

    check_place(out)
    for suffix in (".md", ".csv", ".json", ".png"):
        refuse_source(out.with_name(out.name + suffix), train, test)
    check_place(work / "models")
    length = fitting_length(model, max_length)
    data, tested = read_labelled(train), read_labelled(test)
    classes = known_classes(model, data)
    labels = {target, *data.label_names, *tested.label_names}
    name = classes[class_numbers({target}, classes, labels)[target]]
    data, tested = (texts.aligned_to(classes, labels) for texts in (data, tested))
    check_classes(data, classes)
    settings = GridSettings(
        model, name, clean_share, seed, epochs, learning_rate, purify_epochs, purify_rate, length, preset
    )
    attacks, purifiers = list(dict.fromkeys(attack or _ATTACKS)), list(dict.fromkeys(purifier or _PURIFIERS))
    cells = []
    with ProgressBars(notes()) as bars:
        grid = Grid(settings, data, tested, work, bars, notes().print)
        for cell in grid.run(attacks, purifiers, guard):
            cells.append(cell)
            guarded = ", guarded" if cell.guarded else ""
            results().print(f"{cell.attack} × {cell.purifier}{guarded}: CACC {cell.cacc:.1%}, ASR {cell.asr:.1%}")
            write_report(cells, out)
    notes().print(f"wrote {out}.md, .csv, .json and .png")
