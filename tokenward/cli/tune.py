"""`tokenward tune`: the session settings that are best on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: `tokenward tune artifacts/demo/guarded`")(tune)


def tune(
    artifact: Annotated[Path, typer.Argument(help="Artifact folder.", metavar="ARTIFACT")],
    shared: Annotated[
        bool, typer.Option("--shared", help="Other processes use the same cores: spend the least processor time.")
    ] = False,
    seconds: Annotated[float, typer.Option(help="For all measurements.", min=1)] = 40.0,
) -> None:
    """Measure which settings of ONNX Runtime suit this artifact on this machine, and keep them for the engine 'onnx'.

    They are kept in the user's cache folder; the artifact stays as it is.
    """
    from rich.table import Table

    from ..artifact import load_artifact
    from ..bench.tuning import tune as measure
    from .console import notes, results

    sound = load_artifact(artifact)
    with notes().status("measuring ...") as status:
        report = measure(sound, shared, seconds, lambda what: status.update(f"measuring: {what}"))
    tuned = report.tuned
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", caption=f"cost is {tuned.measured} of a pass")
    table.add_column("tried")
    table.add_column("cost", justify="right")
    table.add_column("")
    for trial in report.trials:
        table.add_row(trial.what, f"{trial.cost.median:.2f}", "[green]✓ taken[/]" if trial.taken else "")
    results().print(table)
    results().print(f"[green]✓[/] a pass costs {tuned.cost:.2f} of one in default settings")
    results().print(f"  kept in {report.folder}", soft_wrap=True)
