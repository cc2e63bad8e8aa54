"""`tokenward classify`: defended answers for arguments, files and streams."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..errors import InputError
from ..runtime.verdict import Mode

Format = Literal["table", "jsonl"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="Example: `tokenward classify artifacts/demo/guarded --file texts.csv --out verdicts.jsonl`, "
        "or `tail -f texts.log | tokenward classify artifacts/demo/guarded`."
    )(classify)


def classify(
    artifact: Annotated[Path, typer.Argument(help="Calibrated artifact folder.", metavar="ARTIFACT")],
    texts: Annotated[
        list[str] | None, typer.Argument(help="Texts; without any, --file or stdin is read.", metavar="TEXT...")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="A .txt, .tsv, .csv or .jsonl file.")] = None,
    text_column: Annotated[str | None, typer.Option(help="Column of the file that holds the text.")] = None,
    mode: Annotated[Mode, typer.Option(help="Act on triggers, only report them, or only run the model.")] = "enforce",
    explain: Annotated[bool, typer.Option("--explain", help="Give every token's scores, too (slower).")] = False,
    truncate: Annotated[bool, typer.Option(help="Let the model read the beginning of texts too long for it.")] = True,
    form: Annotated[Format | None, typer.Option("--format", help="[default: table on a terminal, else jsonl]")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write JSON lines to this file.")] = None,
) -> None:
    """Classify texts so that a backdoor trigger in them does not decide the answer."""
    from ..files import check_writable, refuse_source
    from ..runtime.guard import load
    from .console import notes
    from .sources import batches
    from .verdict_writers import writer

    if out:
        check_writable(out)
        refuse_source(out, file)
    guard = load(artifact)
    actions: Counter[str] = Counter()
    seconds = 0.0
    with writer(guard, form, out, explain) as write:
        for batch in batches(texts or [], file, text_column):
            start = time.perf_counter()
            try:
                verdicts = guard.classify(batch.texts, mode, explain, truncate)
            except InputError as error:
                raise batch.named(error) from error
            seconds += time.perf_counter() - start
            actions.update(verdict.action for verdict in verdicts)
            write(batch.texts, verdicts)
    found = ", ".join(f"{count} {action}" for action, count in actions.most_common())
    total = sum(actions.values())
    rate = f"; {total / seconds:.0f} texts/s" if total > 1 else ""
    notes().print(f"[dim]{total} texts: {found or 'nothing to classify'}{rate}[/]")
