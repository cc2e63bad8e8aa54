"""`tokenward inspect`: verify an artifact and print its card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..artifact import Artifact
from ..runtime.session import SessionSettings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: `tokenward inspect artifacts/demo/guarded`")(inspect)


def inspect(
    artifact: Annotated[Path, typer.Argument(help="Artifact folder.", metavar="ARTIFACT")],
    json: Annotated[bool, typer.Option("--json", help="Print guard.json instead of the card.")] = False,
) -> None:
    """Verify an artifact's checksums and print what it is, and how it would be served on this machine."""
    from importlib.util import find_spec

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
    if find_spec("onnxruntime"):
        _serving(sound, console)


def _serving(artifact: Artifact, console: Console) -> None:
    from ..runtime.engines import choose
    from ..runtime.tuning import stored

    choice = choose(artifact)
    console.print(f"  engine on this machine: [bold]{choice.name}[/], since {choice.why}", soft_wrap=True)
    found = stored(artifact)
    if found is None:
        console.print(
            f"  session: {SessionSettings()} (not tuned: [bold]tokenward tune {artifact.path}[/])", soft_wrap=True
        )
        return
    tuned = found.tuned
    console.print(f"  session, tuned: {tuned.settings}", soft_wrap=True)
    console.print(f"  {tuned.measured} {tuned.cost:.2f} of the default settings'; {found.folder}", soft_wrap=True)
