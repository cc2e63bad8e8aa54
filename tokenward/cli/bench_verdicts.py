"""`tokenward bench verdicts`: an engine against the definitions, on real texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def register(group: typer.Typer) -> None:
    """Add the command to the group `bench`."""
    group.command(
        epilog="Example: `tokenward bench verdicts artifacts/demo/guarded --model artifacts/demo/model "
        "--texts artifacts/demo/test.jsonl --engine onnx`"
    )(verdicts)


def verdicts(
    artifact: Annotated[Path, typer.Argument(help="Artifact folder.", metavar="ARTIFACT")],
    model: Annotated[Path, typer.Option(help="The checkpoint folder that it was exported from.")],
    texts: Annotated[Path, typer.Option(help="Texts to decide on: .txt, .tsv, .csv or .jsonl.")],
    engine: Annotated[
        Literal["onnx", "onnx-cuda", "torch-cuda"],
        typer.Option(help="Those on cuda run on the CPU where there is no GPU but TRITON_INTERPRET=1, very slowly."),
    ] = "onnx",
    precision: Annotated[
        Literal["fp32", "fp16", "bf16"], typer.Option(help="Of torch-cuda; the graph has its own.")
    ] = "fp32",
    limit: Annotated[int, typer.Option(help="Most texts, drawn at random where there are more.", min=1)] = 2000,
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file as well.")] = None,
) -> None:
    """Compare an engine's decisions, class, suspicion and suspect, with plain PyTorch and the NumPy reference."""
    from ..artifact import load_artifact
    from ..bench.drawing import read_drawn
    from ..bench.record import Metric, Row, make_record, reserve, write_record
    from ..errors import require
    from .console import notes, progress_bar, results

    require("torch", "export")
    from ..bench.verdicts import compare_verdicts, open_anywhere

    if json:
        reserve(json, "verdicts")
    chosen = read_drawn(texts, limit)
    sound = load_artifact(artifact)
    sound.check_source(model)
    opened = open_anywhere(engine, sound, model, precision)
    with progress_bar() as bar:
        task = bar.add_task("texts, twice", total=2 * len(chosen))
        report = compare_verdicts(sound, opened, model, chosen, lambda count: bar.update(task, advance=count))
    console = results()
    for difference in report.differences:
        console.print(
            f"{difference.text[:100]}\n  {difference.expected} → {difference.got}, score {difference.score:.4f}"
        )
    console.print(
        f"{engine} decides {report.agreement:.2%} of {report.texts} texts as the reference does, "
        f"{len(report.differences)} otherwise; {report.suspicious} are suspicious at {report.threshold:.4g}",
        soft_wrap=True,
    )
    if json:
        metrics = {"agreement": Metric(report.agreement, unit="share", better="higher")}
        settings = {"texts": report.texts, "suspicious": report.suspicious, "threshold": report.threshold}
        labels = {"engine": engine, "precision": precision if engine == "torch-cuda" else sound.guard.graph.precision}
        record = make_record("verdicts", [Row(labels, metrics, settings)], seed=0, hashes={"artifact": sound.digest})
        notes().print(f"[dim]wrote {write_record(record, json)}[/]", soft_wrap=True)
