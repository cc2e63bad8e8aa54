"""How `classify` writes verdicts: as a table for people, or as JSON lines for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

from ..errors import InputError
from ..explain import deciding_measure
from ..files import writing
from ..runtime.guard import Guard
from ..runtime.verdict import Verdict
from .console import results
from .verdict_table import VerdictTable

Write = Callable[[Sequence[str], Sequence[Verdict]], None]


@contextmanager
def writer(guard: Guard, form: Literal["table", "jsonl"] | None, out: Path | None, explain: bool) -> Iterator[Write]:
    """Yield a function that writes one batch of texts with their verdicts; see the options of `classify`.

    A file appears whole when the block ends well, or not at all.

    Raises:
        InputError: a table is wanted in a file.
    """
    if out and form == "table":
        raise InputError("a file is written as JSON lines: leave out --format table, or --out")
    if out:
        with writing(out) as stream:
            yield _json_lines(stream)
    elif form == "jsonl" or (form is None and not sys.stdout.isatty()):
        yield _json_lines(sys.stdout)
    else:
        measure = deciding_measure(guard.artifact.guard.graph.preset) if explain else None
        yield VerdictTable(results(), guard.labels, measure).write


def _json_lines(stream: IO[str]) -> Write:
    def write(texts: Sequence[str], verdicts: Sequence[Verdict]) -> None:
        for text, verdict in zip(texts, verdicts, strict=True):
            record = json.dumps({"text": text, **verdict.to_dict()}, ensure_ascii=False)
            stream.write(record + "\n")
        stream.flush()

    return write
