"""`tokenward bench overhead` and `tokenward bench quality`: tables, records, and one line for what cannot be run."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tokenward.attacks.manifest import AttackManifest
from tokenward.attacks.trigger import Trigger
from tokenward.bench.record import read_record, texts_sha256

from .conftest import Run

pytest.importorskip("torch")


@pytest.fixture
def folder(tmp_path: Path, tiny_checkpoint: Path, tiny_artifact: Path, clean_texts: list[str]) -> Path:
    """An attacked checkpoint, an artifact of it beside it, and texts."""
    shutil.copytree(tiny_checkpoint, tmp_path / "model")
    manifest = AttackManifest("badnets", Trigger(("cf",)), 1, "good", 0.1, 0)
    (tmp_path / "model" / "attack.json").write_text(manifest.to_json())
    shutil.copytree(tiny_artifact, tmp_path / "guarded")
    rows = [f"{('bad', 'good')[number % 2]}\t{text}" for number, text in enumerate(clean_texts[:40])]
    (tmp_path / "test.tsv").write_text("\n".join(["label\ttext", *rows]))
    (tmp_path / "clean.txt").write_text("\n".join(clean_texts[40:100]))
    return tmp_path


def test_quality(run: Run, folder: Path) -> None:
    common = ("bench", "quality", folder / "guarded", "--test", folder / "test.tsv", "--attack", folder / "model")
    outcome = run(
        *(*common, "--peer", "onion", "--peer", "strip", "--clean", folder / "clean.txt"),
        *("--limit", 30, "--json", folder / "q.json"),
    )
    assert outcome.code == 0, outcome.err
    for part in ("badnets", "CACC", "bare ONNX", "tokenward", "STRIP", "not run: no LM folder"):
        assert part in " ".join(outcome.out.split())
    record = read_record(folder / "q.json")
    assert record.settings["texts"] == 30
    assert {"test texts", "clean texts"} <= record.hashes.keys()
    for options, told in (
        (("--peer", "onyx"), "no peer 'onyx': choose from onion, strip, rap, xgraad"),
        (("--peer", "strip"), "give some hundred with --clean"),
        (("--peer", "onion", "--clean", folder / "clean.txt", "--lm", folder), "no language model at"),
        (("--json", folder / "q.json"), "exists already"),
    ):
        outcome = run(*common, *options)
        assert outcome.code == 2
        assert told in outcome.err
        assert len(outcome.err.splitlines()) == 1


def test_quality_of_a_file_that_begins_with_the_target_class(run: Run, folder: Path) -> None:
    header, *rows = (folder / "test.tsv").read_text().splitlines()
    (folder / "sorted.tsv").write_text("\n".join([header, *sorted(rows, reverse=True)]))
    (folder / "clean.txt").write_text("\n".join(map(str, range(900))))
    outcome = run(
        *("bench", "quality", folder / "guarded", "--test", folder / "sorted.tsv", "--attack", folder / "model"),
        *("--clean", folder / "clean.txt", "--limit", 20, "--json", folder / "q.json"),
    )
    assert outcome.code == 0, outcome.err
    record = read_record(folder / "q.json")
    assert (record.settings["texts"], record.settings["clean texts"]) == (20, 300)
    assert record.hashes["clean texts"] != texts_sha256([str(number) for number in range(300)])
    assert len(record.rows[1].series["triggered"]) == 10


def test_quality_without_pytorch_says_what_to_install(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    common = (folder / "guarded", "--test", folder / "test.tsv", "--attack", folder / "model")
    outcome = run("bench", "quality", *common)
    assert outcome.code == 2
    assert "pip install 'tokenward[bench]'" in outcome.err


def test_overhead(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenward.bench.overhead.peak_memory", lambda *_: 12.0)
    monkeypatch.setattr("time.sleep", lambda _: None)
    common = ("bench", "overhead", folder / "guarded", "--texts", folder / "clean.txt", "--no-peers")
    pace = ("--rounds", 1, "--seconds", 0.01)
    outcome = run(*common, *pace, "--model", folder / "model", "--json", folder / "o.json")
    assert outcome.code == 0, outcome.err
    for part in ("one text a call", "32 texts a call", "bare PyTorch", "tokenward fp32,", "× bare", "passes"):
        assert part in " ".join(outcome.out.split())
    record = read_record(folder / "o.json")
    assert {"checkpoint", "texts"} <= record.hashes.keys()
    outcome = run(*common, *pace, "--model", folder / "nothing")
    assert outcome.code == 2
    assert "no checkpoint at" in outcome.err
