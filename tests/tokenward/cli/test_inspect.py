"""`tokenward inspect`: the card of a sound artifact, a one-line refusal of any other."""

from __future__ import annotations

import json
from pathlib import Path

from .conftest import Run


def test_the_card_is_printed_after_verification(run: Run, artifact_dir: Path) -> None:
    outcome = run("inspect", artifact_dir)
    assert outcome.code == 0
    assert "Guarded bert classifier" in outcome.out
    assert "library_name" not in outcome.out
    assert "✓ every file matches its checksum" in outcome.out


def test_json_is_the_guard_file(run: Run, artifact_dir: Path) -> None:
    assert json.loads(run("inspect", artifact_dir, "--json").out)["family"] == "bert"


def test_an_altered_artifact_is_refused(run: Run, artifact_dir: Path) -> None:
    (artifact_dir / "README.md").write_text("All is well.")
    outcome = run("inspect", artifact_dir)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == "error: README.md does not match its checksum: the artifact is corrupt or was altered\n"
