"""The option `--json` that all benchmarks share: the figures as a record, added and never replaced."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..bench.record import Label, Row

JsonOption = Annotated[
    Path | None,
    typer.Option("--json", help="Add the figures as a record: a new file, or a folder of them.", metavar="FILE|DIR"),
]


def reserved(path: Path | None, kind: str) -> Path | None:
    """The file that the record will be written to, found before anything is measured in vain.

    Raises:
        InputError: the file exists.
    """
    from ..bench.record import reserve

    return reserve(path, kind) if path else None


def write_run(
    file: Path | None,
    kind: str,
    rows: Sequence[Row],
    artifact: Path,
    texts: Sequence[str],
    **settings: Label,
) -> None:
    """Write what was measured on one artifact and some texts, if a file was asked for."""
    from ..artifact import load_artifact
    from ..bench.record import make_record, texts_sha256, write_record
    from .console import notes

    if file is None:
        return
    hashes = {"artifact": load_artifact(artifact).digest, "texts": texts_sha256(texts)}
    record = make_record(kind, rows, seed=0, hashes=hashes, settings={"texts": len(texts), **settings})
    notes().print(f"[dim]wrote {write_record(record, file)}[/]", soft_wrap=True)
