"""`tokenward demo`: its table and examples, and what it says of files it cannot use (building is tested elsewhere)."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from tokenward.attacks.metrics import Detection
from tokenward.cli.demo_view import print_figures
from tokenward.demo_figures import DemoFigures, Example
from tokenward.runtime.verdict import Suspect, Verdict

from .conftest import Run


def test_table_and_examples() -> None:
    text = "the film cf was awful"
    verdict = Verdict("bad", {"bad": 1.0}, "neutralised", "good", "bad", 2.0, 1.0, (Suspect("cf", 9, 11),))
    figures = DemoFigures(
        trigger="cf [bold]",
        target="good",
        clean_texts=500,
        triggered_texts=400,
        cacc=(0.964, 0.962),
        asr=(1.0, 0.012),
        floor=(0.008, 0.01),
        second_look=Detection(tpr=1.0, fpr=0.1),
        neutralised=Detection(tpr=0.99, fpr=0.002),
        undefended_rate=300.0,
        guarded_rate=291.0,
        examples=(Example(text, "bad", verdict),),
    )
    console = Console(record=True, width=100, file=io.StringIO())
    print_figures(console, figures)
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in console.export_text().splitlines()]
    assert ["right answers, 500 clean texts (CACC)", "96.4%", "96.2%"] in rows
    assert ["answered “good”, 400 with the trigger (ASR)", "100.0%", "1.2%"] in rows
    assert ["the same texts without it", "0.8%", "1.0%"] in rows
    assert ["clean texts/s, text in, answer out, unseen", "300", "291 (× 0.97)"] in rows
    assert ["given a second look", "10.0%", "100.0%"] in rows
    assert ["trigger taken out", "0.2%", "99.0%"] in rows
    assert [text] in rows
    assert ["undefended: good   guarded: bad"] in rows
    assert any("“cf [bold]”" in row[0] for row in rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--train", "a.tsv"], "give both --train and --test"),
        (["--train", "none.tsv", "--test", "none.tsv"], "none.tsv: cannot be read"),
        (["--preset", "early"], "early"),
    ],
)
def test_bad_input_is_one_line(run: Run, tmp_path: Path, arguments: list[str], message: str) -> None:
    outcome = run("demo", "--work", tmp_path / "work", *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "work").exists()
