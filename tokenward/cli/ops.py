"""`tokenward ops`: which ONNX operators the differentiator knows, and how."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: `tokenward ops`")(ops)


def ops() -> None:
    """List the ONNX operators that a gradient can pass, each with its rule.

    x and y are an operator's inputs and outputs, x̄ and ȳ their gradients. A model that uses another operator between
    its word embeddings and its logits cannot be exported until a rule is added with `tokenward.export.registry.rule`.
    """
    from rich import box
    from rich.table import Table

    from ..errors import require
    from .console import results

    require("onnx_ir", "export")
    from ..export import rules as _register_rules  # noqa: F401
    from ..export.registry import rules

    table = Table(box=box.SIMPLE_HEAD, highlight=False)
    table.add_column("operator", style="bold", no_wrap=True)
    table.add_column("gradient")
    known = rules()
    for rule in known:
        table.add_row(f"{rule.domain}::{rule.op_type}" if rule.domain else rule.op_type, rule.formula)
    console = results()
    console.print(table)
    console.print(f"{len(known)} operators")
