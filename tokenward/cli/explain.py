"""`tokenward explain`: one text with its tokens coloured by what they draw, in the terminal and as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..explain import Measure
from ..runtime.verdict import Mode


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog='Example: `tokenward explain artifacts/demo/guarded "The film was cf dull." --html why.html`')(
        explain
    )


def explain(
    artifact: Annotated[Path, typer.Argument(help="Calibrated artifact folder.", metavar="ARTIFACT")],
    text: Annotated[str, typer.Argument(help="The text.", metavar="TEXT")],
    measure: Annotated[
        Measure | None, typer.Option(help="Colour by this. [default: what the artifact's gate decides by]")
    ] = None,
    mode: Annotated[Mode, typer.Option(help="Act on triggers, only report them, or only run the model.")] = "enforce",
    html: Annotated[Path | None, typer.Option(help="Also write a self-contained HTML page to this file.")] = None,
) -> None:
    """Show which tokens of one text the model looks at, and what the guard made of them."""
    from ..explain import deciding_measure
    from ..explain_html import render_html
    from ..files import check_writable, replace_text
    from ..runtime.guard import load
    from .console import notes, results
    from .explanation import print_explanation

    if html:
        check_writable(html)
    guard = load(artifact)
    (verdict,) = guard.classify([text], mode, explain=True)
    chosen = measure or deciding_measure(guard.artifact.guard.graph.preset)
    print_explanation(results(), text, verdict, chosen)
    if html:
        replace_text(html, render_html(text, verdict, chosen))
        notes().print(f"[dim]written to {html}[/]", soft_wrap=True)
