"""`tokenward bench`: what the defence costs and what it buys, measured on this machine; one module per command."""

from __future__ import annotations

import importlib

import typer

COMMANDS = (
    "all",
    "overhead",
    "quality",
    "scaling",
    "examples",
    "report",
    "compare",
    "speed",
    "graph",
    "detection",
    "sensitivity",
    "flood",
    "serving",
    "triton",
    "verdicts",
)


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="Measure what the defence costs and buys, on this machine.", no_args_is_help=True)
    for command in COMMANDS:
        importlib.import_module(f".bench_{command}", __package__).register(group)
    app.add_typer(group, name="bench")
