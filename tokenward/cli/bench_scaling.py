"""`tokenward bench scaling`: how cost grows, so that a user can predict that of another model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .json_option import JsonOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from ..bench.record import Row


def register(group: typer.Typer) -> None:
    """Add the command to the group `bench`."""
    group.command(
        epilog="Example: `tokenward bench scaling --budget 120`, "
        "or for BERT-base `tokenward bench scaling --hidden 768 --inner 3072 --layers 12`"
    )(scaling)


def scaling(
    hidden: Annotated[int, typer.Option(help="Width of the encoder. Defaults are MiniLM's.", min=8)] = 384,
    heads: Annotated[int, typer.Option(help="Attention heads.", min=1)] = 12,
    inner: Annotated[int, typer.Option(help="Width inside the feed-forward layers.", min=8)] = 1536,
    layers: Annotated[int, typer.Option(help="Layers while length and batch are varied.", min=2)] = 6,
    rounds: Annotated[int, typer.Option(help="Timed runs of each graph on each shape.", min=1)] = 5,
    budget: Annotated[float, typer.Option(help="Seconds after which no further shape is begun.", min=0)] = 300,
    seed: Annotated[int, typer.Option(help="Of weights, tokens and the order of runs.")] = 0,
    json: JsonOption = None,
) -> None:
    """Time graphs of random weights over length (16–512), batch (1–128) and layers (2–24), beside the work counted."""
    from ..bench.record import make_record, reserve, write_record
    from ..bench.scaling import Shape, measure_scaling, sweep
    from ..bench.scaling_fit import fit_rows
    from ..errors import InputError, require
    from .console import notes, progress_bar, results

    require("torch", "export")
    if hidden % heads:
        raise InputError(f"--hidden {hidden} is no multiple of --heads {heads}: the heads share the width evenly")
    file = reserve(json, "scaling") if json else None
    points = sweep(layers)
    with progress_bar() as bar:
        task = bar.add_task("", total=len(points))
        rows = measure_scaling(
            points,
            Shape(hidden, heads, inner),
            rounds,
            budget,
            seed,
            lambda what: bar.update(task, description=what, advance=0 if what.startswith("building") else 1),
        )
    fits = fit_rows(rows)
    results().print(_exponents(fits))
    results().print(_laws(fits))
    left_out = len({row.name("defence") for row in rows if row.not_run})
    if left_out:
        notes().print(f"{left_out} of {len(points)} shapes were not run: the budget of {budget:g} s was spent")
    if file:
        settings = {"hidden": hidden, "heads": heads, "inner": inner, "layers": layers, "rounds": rounds}
        record = make_record("scaling", [*rows, *fits], seed=seed, hashes={}, settings={**settings, "budget": budget})
        notes().print(f"[dim]wrote {write_record(record, file)}[/]", soft_wrap=True)


def _exponents(fits: Sequence[Row]) -> Table:
    from rich.table import Table

    table = Table(
        title="cost ∝ axis to the power of …", caption="measured (quartiles over rounds); FLOPs and bytes as counted"
    )
    table.add_column("")
    for title in ("axis", "measured", "FLOPs", "bytes"):
        table.add_column(title, justify="right" if title != "axis" else "left")
    for row in fits:
        if row.labels["fit"] != "law":
            found = row.metrics["exponent"]
            counted = (f"{row.metrics[f'exponent_{what}'].value:.2f}" for what in ("flops", "bytes"))
            measured = f"{found.value:.2f} ({found.low:.2f}–{found.high:.2f})"
            table.add_row(row.labels["defence"], row.labels["fit"], measured, *counted)
    return table


def _laws(fits: Sequence[Row]) -> Table:
    from rich.table import Table

    table = Table(title="milliseconds of a pass = a · GFLOP + b · MB + c · operators")
    table.add_column("")
    for title in ("a", "b", "c", "error: median", "largest"):
        table.add_column(title, justify="right")
    for row in fits:
        if row.labels["fit"] == "law":
            m = {name: metric.value for name, metric in row.metrics.items()}
            terms = (f"{m[f'ms_per_{what}']:.3g}" for what in ("gflop", "megabyte", "operator"))
            table.add_row(row.labels["defence"], *terms, f"{m['median_error']:.0%}", f"{m['largest_error']:.0%}")
    return table
