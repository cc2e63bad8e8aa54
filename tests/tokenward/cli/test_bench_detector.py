"""`tokenward bench flood`, `sensitivity` and `detection` as a user calls them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tokenward.attacks.manifest import AttackManifest
from tokenward.attacks.trigger import Trigger

from .conftest import Run


@pytest.fixture
def texts(clean_texts: list[str], tmp_path: Path) -> Path:
    file = tmp_path / "texts.tsv"
    rows = [f"{text}\t{('bad', 'good')[number % 2]}" for number, text in enumerate(clean_texts)]
    file.write_text("\n".join(["text\tlabel", *rows]))
    return file


def test_flood_prints_and_records(run: Run, tiny_artifact: Path, texts: Path, tmp_path: Path) -> None:
    outcome = run(
        "bench", "flood", tiny_artifact, "--texts", texts, "--requests", 500, "--burst", 50, "--limit", 20,
        "--json", tmp_path / "flood.json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert "of 500 requests" in outcome.out
    (row,) = json.loads((tmp_path / "flood.json").read_text())["rows"]
    assert row["metrics"]["fallbacks"]["value"] > 0


def test_sensitivity_prints_and_records(run: Run, tiny_artifact: Path, texts: Path, tmp_path: Path) -> None:
    manifest = AttackManifest("badnets", Trigger(("cf",)), 1, "good", 0.1, 0)
    (tmp_path / "attack.json").write_text(manifest.to_json())
    outcome = run(
        "bench", "sensitivity", tiny_artifact, "--attack", tmp_path / "attack.json", "--clean", texts, "--test", texts,
        "--limit", 10, "--json", tmp_path / "sensitivity.json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert "percentile" in outcome.out
    assert f"wrote {tmp_path / 'sensitivity.json'}" in outcome.err
    assert len(json.loads((tmp_path / "sensitivity.json").read_text())["rows"]) > 30
    assert run("bench", "sensitivity", tiny_artifact, tiny_artifact, "--attack", tmp_path, "--clean", texts, "--test",
               texts).code == 2  # fmt: skip


def test_sensitivity_of_two_artifacts_in_folders_of_one_name(
    run: Run, tiny_artifact: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []
    monkeypatch.setattr(
        "tokenward.bench.sensitivity.measure_sensitivity", lambda subjects, _: measured.extend(subjects) or {}
    )
    manifest = AttackManifest("badnets", Trigger(("cf",)), 1, "good", 0.1, 0)
    (tmp_path / "attack.json").write_text(manifest.to_json())
    for folder in ("a", "b"):
        shutil.copytree(tiny_artifact, tmp_path / folder / "guarded")
    attacks = ["--attack", tmp_path / "attack.json"] * 2
    outcome = run(
        *("bench", "sensitivity", tmp_path / "a" / "guarded", tmp_path / "b" / "guarded", *attacks),
        *("--clean", texts, "--test", texts, "--limit", 10),
    )
    assert outcome.code == 0, outcome.err
    assert measured == ["a/guarded", "b/guarded"]


def test_what_is_asked_twice_of_detection_is_run_once(
    run: Run, texts: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr("tokenward.bench.detection.Detection.run", lambda _, *given: asked.extend(given) or [])
    given = ["--train", texts, "--clean", texts, "--test", texts, "--out", tmp_path / "out.md", "--work", tmp_path]
    twice = ["--attack", "ep", "--seed", 4, "--defence", "late"] * 2
    outcome = run("bench", "detection", *given, "--model", tiny_encoder, *twice)
    assert outcome.code == 0, outcome.err
    assert asked == [["ep"], [4], ["late"], False]


def test_detection_names_what_it_does_not_know(run: Run, texts: Path, tmp_path: Path) -> None:
    given = ["--train", texts, "--clean", texts, "--test", texts, "--out", tmp_path / "out.md", "--work", tmp_path]
    outcome = run("bench", "detection", *given, "--attack", "magic")
    assert outcome.code == 2
    assert "no attack 'magic'" in outcome.err
    assert run("bench", "detection", *given[2:]).code == 2
    assert "would be replaced" in run("bench", "detection", *given, "--out", texts).err
