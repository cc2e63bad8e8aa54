"""`tokenward calibrate`: learn from clean texts what an artifact may call suspicious."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import TaskID


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: `tokenward calibrate artifacts/demo/guarded --clean dev.tsv`")(calibrate)


def calibrate(
    artifact: Annotated[Path, typer.Argument(help="Artifact folder; it is calibrated in place.", metavar="ARTIFACT")],
    clean: Annotated[
        Path,
        typer.Option(
            help="Clean texts like those that will be served, 200 or more: .txt, .tsv, .csv or .jsonl. Labels, if "
            "it has them, keep words from suspicion that rightly decide."
        ),
    ],
    text_column: Annotated[str | None, typer.Option(help="Column of the file that holds the text.")] = None,
    percentile: Annotated[
        float | None, typer.Option(help="So many % of clean texts pass it, such as 95. [default: the gate's own]")
    ] = None,
    scan: Annotated[
        bool,
        typer.Option(
            "--scan/--no-scan", help="Try every whole word of the vocabulary as a trigger, and remember those that are."
        ),
    ] = True,
) -> None:
    """Fit an artifact's thresholds to clean texts, look for trigger words, and store both in it."""
    from ..artifact import load_artifact
    from ..runtime.calibration import calibrate as fit
    from ..runtime.calibration import short_of_references
    from ..texts import read_texts
    from ..visible import visible
    from .console import notes, progress_bar, results

    texts, names = read_texts(clean, text_column)
    labels = None if names is None else _numbers(names, load_artifact(artifact).labels, notes())
    with progress_bar() as bar:
        tasks: dict[str, TaskID] = {}

        def advance(what: str, count: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.advance(tasks[what], count)

        guard = fit(artifact, texts, percentile, advance, scan, labels)
    assert guard.calibration is not None
    console = results()
    console.print(f"[green]✓[/] {artifact} is calibrated on {guard.calibration.texts} clean texts", soft_wrap=True)
    if copies := len(texts) - guard.calibration.texts:
        console.print(f"  {copies} copies of texts count for nothing")
    for name, fitted in guard.calibration.gates.items():
        console.print(f"  gate {name}: threshold {fitted.threshold:.4g} at percentile {fitted.percentile:g}")
    if guard.graph.preset == "tokenward":
        console.print(f"  {len(guard.calibration.references)} reference texts for transplants")
        for label, count in short_of_references(guard.calibration.references, load_artifact(artifact).labels).items():
            console.print(
                f"[yellow]  class '{escape(visible(label))}' has {count} references of other classes and needs 8: "
                "suspects there get the flip test; give more clean texts of the other classes, of three words and "
                "more[/]",
                soft_wrap=True,
            )
        vouched = sum(map(len, guard.calibration.vouched.values()))
        if labels is not None:
            console.print(f"  {vouched} words that go with a class by the labels, and are never suspects there")
        for label, share in guard.calibration.leeway.items():
            console.print(
                f"[yellow]  ordinary words act as triggers for '{escape(visible(label))}': those may have {share:g} of "
                "the usual unevenness[/]",
                soft_wrap=True,
            )
        for label, words in guard.calibration.known.items():
            found = escape(visible(", ".join(words)))
            console.print(
                f"[red]  words that move any text towards '{escape(visible(label))}': {found}[/]: suspects now",
                soft_wrap=True,
            )


def _numbers(names: list[str], classes: Sequence[str], console: Console) -> list[int] | None:
    """The class of each text; None, and a remark, where labels are missing or are not the model's."""
    from ..errors import InputError
    from ..texts import class_numbers

    if missing := names.count(""):
        console.print(f"[yellow]the labels are not used: {missing} of {len(names)} texts have none[/]")
        return None
    try:
        number = class_numbers(set(names), dict(enumerate(classes)))
    except InputError as error:
        console.print(f"[yellow]the labels are not used: {escape(str(error))}[/]", soft_wrap=True)
        return None
    return [number[name] for name in names]
