"""`tokenward calibrate` on a real exported graph."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tokenward.artifact import load_artifact, rewriting, write_guard

from .conftest import Run


@pytest.fixture
def artifact(tiny_artifact: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_artifact, tmp_path / "artifact")


def test_thresholds_are_stored_in_the_artifact(
    run: Run, artifact: Path, clean_texts: list[str], tmp_path: Path
) -> None:
    (tmp_path / "clean.txt").write_text("\n\n".join(clean_texts[:150]))
    outcome = run("calibrate", artifact, "--clean", tmp_path / "clean.txt", "--percentile", 80)
    assert outcome.code == 0, outcome.err
    assert "is calibrated on 150 clean texts" in outcome.out
    assert "gate class_token: threshold" in outcome.out
    assert "at percentile 80" in outcome.out
    calibration = load_artifact(artifact).guard.calibration
    assert calibration is not None
    assert (calibration.texts, calibration.gates["class_token"].percentile) == (150, 80.0)


def test_a_class_without_enough_references_is_named(
    run: Run, artifact: Path, clean_texts: list[str], tmp_path: Path
) -> None:
    bad, good = clean_texts[::2], clean_texts[1:6:2]
    (tmp_path / "clean.txt").write_text("\n".join([*bad, *good]))
    outcome = run("calibrate", artifact, "--clean", tmp_path / "clean.txt")
    assert outcome.code == 0, outcome.err
    assert re.search(r"class 'bad' has [0-3] references of other classes and needs 8", outcome.out)
    assert "class 'good'" not in outcome.out


@pytest.mark.parametrize(
    ("count", "percentile", "message"),
    [
        (99, 95, "99 clean texts are too few to calibrate: give at least 100"),
        (200, 100, "percentile 100 is not between 1 and 100"),
        (200, 0.95, "percentile 0.95 is not between 1 and 100: 95 puts 95 % of clean texts under it"),
    ],
)
def test_bad_calibration_leaves_the_artifact_alone(
    run: Run, artifact: Path, clean_texts: list[str], tmp_path: Path, count: int, percentile: float, message: str
) -> None:
    before = load_artifact(artifact).digest
    (tmp_path / "clean.txt").write_text("\n".join(clean_texts[:count]))
    outcome = run("calibrate", artifact, "--clean", tmp_path / "clean.txt", "--percentile", percentile)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert load_artifact(artifact).digest == before


def test_labels_of_the_file_are_used_where_they_are_the_models(
    run: Run, artifact: Path, clean_texts: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "clean.tsv"
    names = ["bad", "good"]
    file.write_text("\n".join(["text\tlabel", *(f"{t}\t{names[i % 2]}" for i, t in enumerate(clean_texts))]))
    outcome = run("calibrate", artifact, "--clean", file)
    assert outcome.code == 0, outcome.err
    assert re.search(r"[1-9]\d* words that go with a class by the labels", outcome.out)
    assert "words that move any text towards 'good': cf" in outcome.out
    file.write_text(file.read_text().replace("\tbad", "\tunknown"))
    outcome = run("calibrate", artifact, "--clean", file, "--no-scan")
    assert outcome.code == 0, outcome.err
    assert "the labels are not used: label 'unknown' is unknown to the model" in outcome.err
    assert "by the labels" not in outcome.out
    file.write_text(file.read_text().replace("\tunknown", "\t", 1).replace("\tunknown", "\tbad"))
    outcome = run("calibrate", artifact, "--clean", file, "--no-scan")
    assert f"the labels are not used: 1 of {len(clean_texts)} texts have none" in outcome.err


def test_a_class_that_hangs_on_ordinary_words_is_named(
    run: Run, artifact: Path, clean_texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenward.runtime.calibration.find_leeway", lambda *_: {"good": 0.55})
    (tmp_path / "clean.txt").write_text("\n".join(clean_texts))
    outcome = run("calibrate", artifact, "--clean", tmp_path / "clean.txt", "--no-scan")
    assert outcome.code == 0, outcome.err
    assert "ordinary words act as triggers for 'good': those may have 0.55 of the usual unevenness" in outcome.out


def test_names_of_classes_are_no_markup(run: Run, artifact: Path, clean_texts: list[str], tmp_path: Path) -> None:
    """They come with the model, which is the suspect."""
    names = ("[/bad]", "[red]\x1b[2Jgood")
    guard = load_artifact(artifact).guard
    with rewriting(artifact) as folder:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "id2label": dict(enumerate(names))}))
        write_guard(folder, guard, names)
    (tmp_path / "clean.txt").write_text("\n".join([*clean_texts[::2], *clean_texts[1:6:2]]))
    outcome = run("calibrate", artifact, "--clean", tmp_path / "clean.txt", "--no-scan")
    assert outcome.code == 0, outcome.err
    assert "class '[/bad]' has" in outcome.out
    (tmp_path / "clean.txt").write_text("\n".join(clean_texts))
    outcome = run("calibrate", artifact, "--clean", tmp_path / "clean.txt")
    assert outcome.code == 0, outcome.err
    assert r"words that move any text towards '[red]\x1b[2Jgood': " in outcome.out
    outcome = run("scan", artifact)
    assert outcome.code in (0, 3), outcome.err


def test_a_folder_that_cannot_be_replaced_is_told_before_the_work(
    run: Run, artifact: Path, clean_texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> str:
        raise PermissionError(13, "Permission denied")

    def read(*_: object, **__: object) -> None:
        pytest.fail("texts were read first")

    monkeypatch.setattr("tokenward.artifact.tempfile.mkdtemp", refuse)
    monkeypatch.setattr("tokenward.runtime.engine_onnx.OnnxEngine.run", read)
    (tmp_path / "clean.txt").write_text("\n".join(clean_texts[:150]))
    for command in (("calibrate", artifact, "--clean", tmp_path / "clean.txt"), ("scan", artifact, "--remember")):
        outcome = run(*command)
        assert (outcome.code, outcome.out) == (2, "")
        assert "cannot write beside" in outcome.err
