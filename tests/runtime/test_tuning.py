"""Tuned settings are kept for one graph on one machine, and used only where nothing about them is doubtful."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("torch")  # the artifact is made with it

from tokenward.artifact import Artifact, load_artifact
from tokenward.checksums import file_sha256
from tokenward.runtime import engines, tuning
from tokenward.runtime.engine import NEVER_SKIP, Batch
from tokenward.runtime.engine_onnx import OnnxEngine
from tokenward.runtime.session import SessionSettings, open_session
from tokenward.runtime.tuning import Stored, Tuned, folder_of, graph_digest, store, stored, this_host

SETTINGS = SessionSettings(threads=1, spinning=False, disabled=("BiasGeluFusion",))


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def artifact(tiny_artifact: Path) -> Artifact:
    return load_artifact(tiny_artifact)


@pytest.fixture
def optimized(artifact: Artifact, tmp_path: Path) -> Path:
    path = tmp_path / "optimized.onnx"
    open_session(artifact.model_path, SETTINGS, optimized=path)
    return path


@pytest.fixture
def kept(artifact: Artifact, optimized: Path) -> Path:
    tuned = Tuned(graph_digest(artifact), this_host(), SETTINGS, "time", 0.9, file_sha256(optimized))
    return store(tuned, optimized)


def a_batch() -> Batch:
    import numpy as np

    ids = np.arange(12).reshape(2, 6) + 3
    return Batch(ids, np.ones_like(ids))


def test_what_was_stored_comes_back_and_the_artifact_stays_as_it_was(artifact: Artifact, kept: Path) -> None:
    found = stored(artifact)
    assert isinstance(found, Stored)
    assert found.tuned.settings == SETTINGS
    assert found.optimized == kept / "optimized.onnx"
    assert load_artifact(artifact.path).digest == artifact.digest


def test_a_umask_that_lets_a_group_write_does_no_harm(artifact: Artifact, optimized: Path) -> None:
    tuned = Tuned(graph_digest(artifact), this_host(), SETTINGS, "time", 0.9, file_sha256(optimized))
    umask = os.umask(0o002)
    try:
        folder = store(tuned, optimized)
    finally:
        os.umask(umask)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert stored(artifact) is not None


def test_nothing_stored_is_no_news(artifact: Artifact, caplog: pytest.LogCaptureFixture) -> None:
    assert stored(artifact) is None
    assert not caplog.records


def test_calibrating_does_not_change_the_digest_but_another_graph_does(
    artifact: Artifact, tiny_paper_artifact: Path
) -> None:
    assert graph_digest(load_artifact(tiny_paper_artifact)) != graph_digest(artifact)


def alter_settings(folder: Path, **fields: object) -> None:
    path = folder / "settings.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize(
    ("harm", "complaint"),
    [
        (lambda folder: (folder / "optimized.onnx").write_bytes(b"another graph"), "does not match its checksum"),
        (lambda folder: (folder / "optimized.onnx").unlink(), "No such file"),
        (lambda folder: (folder / "settings.json").write_text("{"), "Expecting property name"),
        (lambda folder: (folder / "settings.json").write_text("[" * 100_000), "recursion"),
        (lambda folder: alter_settings(folder, graph="0" * 64), "another graph, machine or version"),
        (lambda folder: alter_settings(folder, schema=2), "another graph, machine or version"),
        (lambda folder: alter_settings(folder, more=1), "not a known field"),
        (lambda folder: alter_settings(folder, settings={"threads": "many"}), "expected int"),
        (lambda folder: alter_settings(folder, settings={"threads": 10**9}), "does not choose"),
        (lambda folder: alter_settings(folder, settings={"disabled": ["/etc/passwd"]}), "does not choose"),
        (lambda folder: folder.chmod(0o777), "another user"),
        (lambda folder: (folder / "optimized.onnx").chmod(0o666), "another user"),
        (lambda folder: (folder / "more").symlink_to("/etc/passwd"), "another user"),
    ],
)
def test_what_is_doubtful_is_not_used(
    harm: object, complaint: str, artifact: Artifact, kept: Path, caplog: pytest.LogCaptureFixture
) -> None:
    harm(kept)
    assert stored(artifact) is None
    assert complaint in caplog.text
    assert "run 'tokenward tune' again" in caplog.text


@pytest.mark.parametrize("change", [{"onnxruntime": "0.0.1"}, {"cores": 999}, {"processor": "abacus"}])
def test_another_machine_or_version_has_settings_of_its_own(
    change: dict[str, object], artifact: Artifact, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(this_host(), **change)
    monkeypatch.setattr(tuning, "this_host", lambda: other)
    assert stored(artifact) is None
    assert folder_of(graph_digest(artifact), other) != kept


def test_storing_again_replaces_what_was_there(artifact: Artifact, kept: Path) -> None:
    tuned = Tuned(graph_digest(artifact), this_host(), SessionSettings(arena=False), "processor time", 0.8)
    assert store(tuned, None) == kept
    found = stored(artifact)
    assert found is not None
    assert (found.tuned, found.optimized) == (tuned, None)
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]


def test_the_engine_opens_what_was_tuned_and_gives_the_same_numbers(
    artifact: Artifact, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = OnnxEngine(artifact.model_path, threads=1).run(a_batch(), NEVER_SKIP)
    opened: list[tuple[object, ...]] = []

    class Watched(OnnxEngine):
        def __init__(self, *arguments: object, packed: bool) -> None:
            opened.append(arguments)
            super().__init__(*arguments, packed=packed)

    monkeypatch.setattr(engines, "OnnxEngine", Watched)
    got = engines.open_engine("onnx", artifact, threads=2).run(a_batch(), NEVER_SKIP)
    assert opened == [(artifact.model_path, 2, SETTINGS, kept / "optimized.onnx")]
    for name in expected:
        assert got[name] == pytest.approx(expected[name], rel=1e-4, abs=1e-5)
