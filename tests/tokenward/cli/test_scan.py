"""`tokenward scan` on a real exported graph."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tokenward.artifact import load_artifact

from .conftest import Run


@pytest.fixture
def artifact(tiny_artifact: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_artifact, tmp_path / "artifact")


def test_a_trigger_is_an_exit_code_and_what_is_kept_serves_the_next_scan(
    run: Run, artifact: Path, tmp_path: Path
) -> None:
    options = ("--json", tmp_path / "scan.json", "--cache", tmp_path / "cache")
    first = run("scan", artifact, *options, "--remember")
    assert first.code == 3, first.err
    found = json.loads((tmp_path / "scan.json").read_text())
    assert "cf" in found["triggers"]
    known = load_artifact(artifact).guard.calibration.known  # type: ignore[union-attr]
    assert {word for words in known.values() for word in words} == set(found["triggers"])
    again = run("scan", artifact, *options)  # the artifact has changed, but not what its words do
    assert again.code == 3, again.err
    assert json.loads((tmp_path / "scan.json").read_text())["findings"] == found["findings"]


@pytest.mark.parametrize("option", ["--json", "--cache"])
def test_what_cannot_be_written_is_told_before_the_scan(run: Run, artifact: Path, tmp_path: Path, option: str) -> None:
    outcome = run("scan", artifact, option, tmp_path / "missing" / "file")
    assert outcome.code == 2
    assert "missing/file' cannot be written: its folder is not there" in outcome.err
    assert outcome.err.count("\n") == 1
