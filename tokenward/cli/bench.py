"""`tokenward bench`: what the defence costs and what it buys, measured on this machine; one module per command."""

from __future__ import annotations

import typer

from . import (
    bench_compare,
    bench_detection,
    bench_examples,
    bench_graph,
    bench_overhead,
    bench_quality,
    bench_report,
    bench_scaling,
    bench_serving,
    bench_speed,
    bench_triton,
    bench_verdicts,
)


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="Measure what the defence costs and buys, on this machine.", no_args_is_help=True)
    for command in (
        bench_speed,
        bench_overhead,
        bench_graph,
        bench_quality,
        bench_detection,
        bench_serving,
        bench_triton,
        bench_scaling,
        bench_examples,
        bench_report,
        bench_compare,
        bench_verdicts,
    ):
        command.register(group)
    app.add_typer(group, name="bench")
