"""`tokenward tune`, and `tokenward inspect` telling what it kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Run

pytest.importorskip("torch")


def test_what_was_tuned_is_shown(
    run: Run, tiny_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert "not tuned: tokenward tune" in run("inspect", tiny_artifact).out
    outcome = run("tune", tiny_artifact, "--shared", "--seconds", 1)
    assert outcome.code == 0, outcome.err
    assert "threads without work sleep" in outcome.out
    assert "cost is processor time of a pass" in outcome.out
    kept = outcome.out.rpartition("kept in ")[2].strip()
    assert Path(kept).parent.parent.parent == tmp_path
    told = run("inspect", tiny_artifact).out
    assert "session, tuned: " in told
    assert kept in told


def test_an_altered_artifact_is_not_tuned(run: Run, artifact_dir: Path) -> None:
    (artifact_dir / "model.onnx").write_bytes(b"")
    outcome = run("tune", artifact_dir)
    assert outcome.code == 2
    assert "model.onnx does not match its checksum" in outcome.err
