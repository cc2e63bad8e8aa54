"""`tokenward bench overhead`: the guard's cost beside the bare model and other defences."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .json_option import JsonOption, reserved


def register(group: typer.Typer) -> None:
    """Add the command to the group `bench`."""
    group.command(
        epilog="Example: `tokenward bench overhead artifacts/demo/guarded --texts artifacts/demo/test.jsonl "
        "--model artifacts/demo/model`"
    )(overhead)


def overhead(
    artifacts: Annotated[
        list[Path], typer.Argument(help="Calibrated artifact folders of one checkpoint.", metavar="ARTIFACT...")
    ],
    texts: Annotated[Path, typer.Option(help="Texts to classify: .txt, .tsv, .csv or .jsonl.")],
    model: Annotated[
        Path | None, typer.Option(help="The checkpoint; by default the one the artifact names, beside it.")
    ] = None,
    lm: Annotated[
        Path | None, typer.Option(help="Causal language model for ONION; by default random weights of GPT-2's shape.")
    ] = None,
    peers: Annotated[bool, typer.Option(help="Run ONION, STRIP, RAP and X-GRAAD, too.")] = True,
    limit: Annotated[int, typer.Option(help="Most texts, drawn at random where there are more.", min=1)] = 320,
    rounds: Annotated[int, typer.Option(help="Timed runs of each system.", min=1)] = 5,
    seconds: Annotated[float, typer.Option(help="What a run should take.", min=0.01)] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the order of texts and runs.")] = 0,
    json: JsonOption = None,
) -> None:
    """Race the guard in every mode against the bare model and other inference-time defences, text in, answer out.

    Rounds alternate between the systems; figures are medians with quartiles, ratios are to ONNX Runtime at its best
    settings. A system too slow for a run of its share of time answers fewer texts, and says so.
    """
    from tempfile import TemporaryDirectory

    from ..artifact import load_artifact
    from ..bench.bare_onnx import export_bare
    from ..bench.drawing import read_drawn
    from ..bench.overhead import measure_overhead, steps
    from ..bench.overhead_systems import Setup, check_setup
    from ..bench.peers.registry import PEERS
    from ..bench.record import make_record, texts_sha256, write_record
    from ..checksums import file_sha256, weights_sha256
    from ..errors import require
    from ..runtime.cores import usable_cores
    from .console import notes, progress_bar, results
    from .overhead_table import overhead_tables

    require("torch", "export")
    file = reserved(json, "overhead")
    chosen = tuple(read_drawn(texts, limit))
    checkpoint = model or artifacts[0].resolve().parent / load_artifact(artifacts[0]).guard.checkpoint
    threads = usable_cores()
    with TemporaryDirectory() as folder, progress_bar() as bar:
        graph = Path(folder) / "bare.onnx"
        setup = Setup(tuple(artifacts), checkpoint, graph, chosen, lm, threads, tuple(PEERS) if peers else ())
        check_setup(setup)
        task = bar.add_task("exporting the bare model", total=steps(setup, rounds) + 1)
        export_bare(checkpoint, graph)
        rows = measure_overhead(
            setup, rounds, seconds, seed, lambda what: bar.update(task, advance=1, description=what)
        )
    for table in overhead_tables(rows):
        results().print(table)
    results().print(
        f"[dim]{threads} threads each; {rounds} alternating rounds; medians over quartiles; "
        "passes per text: forward, b backward, L of a language model[/]"
    )
    if file is not None:
        hashes = {
            "checkpoint": weights_sha256(checkpoint),
            "texts": texts_sha256(chosen),
            "texts file": file_sha256(texts),
            **{f"artifact {path}": load_artifact(path).digest for path in artifacts},
        }
        settings = {"rounds": rounds, "seconds": seconds, "texts": len(chosen)}
        record = make_record("overhead", rows, seed=seed, hashes=hashes, settings=settings, threads=threads)
        notes().print(f"[dim]wrote {write_record(record, file)}[/]", soft_wrap=True)
