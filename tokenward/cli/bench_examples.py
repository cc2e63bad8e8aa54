"""`tokenward bench examples`: real texts with and without the trigger, as the guard sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .json_option import JsonOption, reserved


def register(group: typer.Typer) -> None:
    """Add the command to the group `bench`."""
    group.command(
        epilog="Example: `tokenward bench examples artifacts/demo/guarded --test artifacts/demo/test.jsonl "
        "--attack artifacts/demo/model`"
    )(examples)


def examples(
    artifact: Annotated[Path, typer.Argument(help="Calibrated artifact folder.", metavar="ARTIFACT")],
    test: Annotated[Path, typer.Option(help="Labelled clean test texts: .tsv, .csv or .jsonl.")],
    attack: Annotated[Path, typer.Option(help="The attack's manifest, attack.json, or the checkpoint that holds it.")],
    count: Annotated[int, typer.Option(help="Texts to draw; each is shown without and with the trigger.", min=1)] = 4,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    json: JsonOption = None,
) -> None:
    """Colour tokens of texts drawn at random by what the gate looks at, and show what was answered."""
    from rich.text import Text

    from ..attacks.manifest import load_manifest
    from ..bench.examples import draw_examples
    from ..bench.record import Metric, Row, make_record, texts_sha256, write_record
    from ..explain import Piece
    from ..records import to_json
    from ..runtime.guard import load
    from ..texts import read_labelled
    from .console import notes, results
    from .heat import heat_text

    file = reserved(json, "examples")
    guard, texts = load(artifact), read_labelled(test)
    drawn = list(draw_examples(guard, texts, load_manifest(attack), count, seed))
    for example in drawn:
        results().print(heat_text([Piece(p.text, p.heat, p.suspect) for p in example.pieces]), soft_wrap=True)
        told = f"  truth {example.truth}; model alone {example.first}; guarded {example.answer} ({example.action})"
        results().print(Text(told, style="dim"), soft_wrap=True)
    if file:
        rows = [
            Row(
                {"example": number, "attack": example.attack},
                {"answered_rightly": Metric(float(example.answer == example.truth))},
            )
            for number, example in enumerate(drawn)
        ]
        hashes = {"artifact": guard.artifact.digest, "texts": texts_sha256(texts.texts)}
        made = make_record(
            "examples", rows, seed=seed, hashes=hashes, settings={"count": count}, content={"examples": to_json(drawn)}
        )
        notes().print(f"[dim]wrote {write_record(made, file)}[/]", soft_wrap=True)
