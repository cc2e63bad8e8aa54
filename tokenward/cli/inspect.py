"""`tokenward inspect`: verify an artifact and print its card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: `tokenward inspect artifacts/demo/guarded`")(inspect)


def inspect(
    artifact: Annotated[Path, typer.Argument(help="Artifact folder.", metavar="ARTIFACT")],
    json: Annotated[bool, typer.Option("--json", help="Print guard.json instead of the card.")] = False,
) -> None:
    """Verify an artifact's checksums and print what it is."""
    from rich.markdown import Markdown

    from ..artifact import load_artifact
    from .console import results

    sound = load_artifact(artifact)
    if json:
        print((sound.path / "guard.json").read_text(encoding="utf-8"), end="")
        return
    card = (sound.path / "README.md").read_text(encoding="utf-8")
    _, _, body = card.partition("---\n\n")  # without the metadata block, which is for model hubs
    console = results()
    console.print(Markdown(body))
    console.print(f"\n[green]✓[/] every file matches its checksum; artifact [bold]{sound.digest[:16]}[/]")
