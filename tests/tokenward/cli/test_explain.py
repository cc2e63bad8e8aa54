"""`tokenward explain`: the coloured text, the second look, and the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .conftest import Run

pytestmark = pytest.mark.usefixtures("guard")


def test_a_trigger_is_explained(run: Run) -> None:
    out = run("explain", "artifact", "the film cf was awful").out
    assert out.splitlines()[0].startswith("bad ")
    assert "neutralised  (first answer: good)" in out
    assert "answered instead: the film was awful" in out
    trial = r"“cf” turned 8 of 8 other texts, moved them by \d{3,}% of their lead, uneven by 0%: confirmed as a trigger"
    assert re.search(trial, " ".join(out.split()))
    ranked = [line.split()[0] for line in out.partition("class attention")[2].splitlines() if "0." in line]
    assert ranked[:2] == ["cf", "awful"]


def test_a_page_is_written(run: Run, tmp_path: Path) -> None:
    outcome = run("explain", "artifact", "the film <b>cf</b>", "--html", tmp_path / "why.html")
    assert f"written to {tmp_path / 'why.html'}" in outcome.err.replace("\n", "")
    assert "&lt;" in (tmp_path / "why.html").read_text()


def test_a_measure_that_the_graph_does_not_compute(run: Run) -> None:
    outcome = run("explain", "artifact", "film", "--measure", "saliency")
    assert outcome.code == 2
    assert outcome.err == "error: this artifact's graph does not compute saliency: choose class_attention\n"


@pytest.mark.parametrize("text", ["", "...", "\x1b[2J", "🙂", "film " * 100])
def test_odd_texts(run: Run, text: str) -> None:
    outcome = run("explain", "artifact", text)
    assert outcome.code == 0
    assert "\x1b" not in outcome.out
