"""`tokenward bench`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenward.bench.record import read_record

from .conftest import Run

pytest.importorskip("torch")


def test_speed_prints_one_row_per_system(
    run: Run, tiny_paper_artifact: Path, tiny_checkpoint: Path, clean_texts: list[str], tmp_path: Path
) -> None:
    (tmp_path / "texts.txt").write_text("\n".join(clean_texts))
    outcome = run(
        *("bench", "speed", tiny_paper_artifact, "--model", tiny_checkpoint),
        *("--texts", tmp_path / "texts.txt", "--limit", 20, "--rounds", 1, "--json", tmp_path / "speed.json"),
    )
    assert outcome.code == 0, outcome.err
    for part in ("guarded", "undefended, ONNX", "published, PyTorch", "answer alike on 100.0%"):
        assert part in " ".join(outcome.out.split())
    assert "undefended: default settings of ONNX Runtime" in " ".join(outcome.out.split())
    assert read_record(tmp_path / "speed.json").settings["undefended"] == "default settings of ONNX Runtime"


def test_the_group_says_what_is_in_it(run: Run) -> None:
    outcome = run("bench", "--help")
    assert "speed" in outcome.out
