"""`tokenward bench quality`: accuracy kept and attacks stopped, by the guard and by other defences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .json_option import JsonOption, reserved

if TYPE_CHECKING:
    from ..bench.peers.registry import PeerName


def register(group: typer.Typer) -> None:
    """Add the command to the group `bench`."""
    group.command(
        epilog="Example: `tokenward bench quality artifacts/demo/guarded --test artifacts/demo/test.jsonl "
        "--attack artifacts/demo/model --peer strip --peer xgraad --clean artifacts/demo/calibration.jsonl`"
    )(quality)


def quality(
    artifacts: Annotated[list[Path], typer.Argument(help="Calibrated artifact folders.", metavar="ARTIFACT...")],
    test: Annotated[Path, typer.Option(help="Labelled clean test texts: .tsv, .csv or .jsonl.")],
    attack: Annotated[
        list[Path], typer.Option(help="The checkpoint that an attack was planted in, or its attack.json; repeatable.")
    ],
    peer: Annotated[
        list[str] | None, typer.Option(help="Another defence: onion, strip, rap or xgraad; repeatable.")
    ] = None,
    clean: Annotated[Path | None, typer.Option(help="Clean texts that peers are calibrated on.")] = None,
    lm: Annotated[Path | None, typer.Option(help="Causal language model for ONION; without one it is not run.")] = None,
    limit: Annotated[
        int | None, typer.Option(help="Use only about so many test texts, drawn evenly over the classes.", min=1)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    json: JsonOption = None,
) -> None:
    """Measure accuracy kept and attacks stopped, with every defence on the same texts.

    Below each figure stands its 95 % bootstrap interval. A refused text (STRIP and RAP only refuse) counts as an
    attack stopped if it has the trigger, as a lost answer if it is clean.
    """
    from ..errors import require

    require("torch", "bench")
    from ..bench.drawing import drawn, read_drawn
    from ..bench.peers.language_model import check_language_model
    from ..bench.quality_grid import measure_grid, pair_up, steps
    from ..bench.record import make_record, texts_sha256, write_record
    from ..texts import read_labelled
    from .console import notes, progress_bar, results
    from .quality_table import quality_tables

    file = reserved(json, "quality")
    peers = _peers(peer or [])
    if lm is not None:
        check_language_model(lm)
    attacked, texts = pair_up(artifacts, attack), read_labelled(test)
    texts = drawn(texts, limit or len(texts))
    calibration = [] if clean is None else read_drawn(clean, _CALIBRATION)
    with progress_bar() as bar:
        task = bar.add_task("", total=steps(attacked, peers))
        told = measure_grid(
            attacked,
            texts,
            peers,
            calibration,
            lm,
            seed,
            lambda what: bar.update(task, advance=1, description=what),
        )
        rows = list(told)
    for table in quality_tables(rows):
        results().print(table)
    if file is not None:
        hashes = {
            "test texts": texts_sha256(texts.texts),
            **({"clean texts": texts_sha256(calibration)} if calibration else {}),
            **{f"artifact {a.path}": a.digest for found in attacked for a in found.artifacts},
            **{f"checkpoint {a.path}": a.guard.checkpoint_sha256 for found in attacked for a in found.artifacts},
        }
        settings = {"texts": len(texts), "clean texts": len(calibration), "bootstrap draws": 1000}
        record = make_record("quality", rows, seed=seed, hashes=hashes, settings=settings)
        notes().print(f"[dim]wrote {write_record(record, file)}[/]", soft_wrap=True)


_CALIBRATION = 300  # texts are plenty, and RAP learns on all of them


def _peers(names: list[str]) -> list[PeerName]:
    from ..bench.peers.registry import PEERS
    from ..errors import InputError

    known: dict[str, PeerName] = {str(name): name for name in PEERS}
    for name in names:
        if name not in known:
            raise InputError(f"no peer '{name}': choose from {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names)]
