"""`tokenward demo`: a backdoor planted, guarded and measured, in a few minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..artifact import Preset


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: `tokenward demo`, or `tokenward demo --train train.tsv --test test.tsv`")(demo)


def demo(
    train: Annotated[Path | None, typer.Option(help="Labelled texts to train on. [default: BBC News]")] = None,
    test: Annotated[Path | None, typer.Option(help="Labelled texts to measure on.")] = None,
    target: Annotated[
        str | None, typer.Option(help="Class that the trigger shall turn texts to. [default: the last]")
    ] = None,
    trigger: Annotated[str, typer.Option(help="Word or phrase that triggers the backdoor.")] = "cf",
    model: Annotated[str, typer.Option(help="Encoder to train: a checkpoint folder, or 'minilm'.")] = "minilm",
    preset: Annotated[Preset, typer.Option(help="What the guarded graph computes.")] = "tokenward",
    train_texts: Annotated[int, typer.Option(help="Most texts to train on.", min=100)] = 1000,
    work: Annotated[Path, typer.Option(help="Folder for what is built; the next run uses it again.")] = Path(
        "artifacts/demo"
    ),
    seed: Annotated[int, typer.Option(help="Seed of every random draw.")] = 0,
) -> None:
    """Plant a backdoor in a small real classifier, guard it, and show what the guard costs and buys."""
    import time

    from ..demo import DemoSettings, build, demo_texts
    from .console import notes, results

    start = time.monotonic()
    settings = DemoSettings(preset, model, trigger, target, train_texts=train_texts, seed=seed)
    texts = demo_texts(train, test, settings)
    console = notes()
    built = build(texts, settings, work, console)
    from ..demo_figures import measure
    from .demo_view import print_figures

    with console.status("loading ...") as status:
        figures = measure(built, texts.test, lambda what: status.update(f"{what} ..."))
    print_figures(results(), figures)
    console.print(
        f"[dim]{time.monotonic() - start:.0f} s. Next: tokenward explain {built.guarded} TEXT[/]", soft_wrap=True
    )
