"""Attacks × defences on the tiny classifier: who is measured on what, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tokenward.attacks.manifest import AttackManifest
from tokenward.attacks.trigger import Trigger
from tokenward.bench.peers.registry import PeerName
from tokenward.bench.quality_grid import measure_grid, pair_up, steps
from tokenward.bench.record import make_record, read_record, write_record
from tokenward.errors import InputError
from tokenward.texts import LabelledTexts

pytest.importorskip("torch")

MANIFEST = AttackManifest("badnets", Trigger(("cf",)), 1, "good", 0.1, 0)


@pytest.fixture(scope="module")
def attacked(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint with its manifest beside it."""
    folder = tmp_path_factory.mktemp("attacked") / "model"
    shutil.copytree(tiny_checkpoint, folder)
    (folder / "attack.json").write_text(MANIFEST.to_json())
    return folder


@pytest.fixture
def test_texts(clean_texts: list[str]) -> LabelledTexts:
    return LabelledTexts(tuple(clean_texts[:60]), tuple(number % 2 for number in range(60)), ("bad", "good"))


def test_every_defence_on_the_same_texts(
    tiny_artifact: Path,
    tiny_paper_artifact: Path,
    attacked: Path,
    test_texts: LabelledTexts,
    clean_texts: list[str],
    tmp_path: Path,
) -> None:
    found = pair_up([tiny_artifact, tiny_paper_artifact], [attacked])
    told: list[str] = []
    peers: tuple[PeerName, ...] = ("onion", "strip", "xgraad")
    rows = list(measure_grid(found, test_texts, peers, clean_texts[100:160], progress=told.append))
    assert len(told) == steps(found, peers[1:]), "onion is not run"
    assert [row.labels["defence"] for row in rows] == [
        *("bare ONNX Runtime", "tokenward fp32", "paper fp32", "ONION", "STRIP", "X-GRAAD")
    ]
    by_name = {row.labels["defence"]: row for row in rows}
    assert by_name["ONION"].not_run is not None
    assert "no LM folder" in by_name["ONION"].not_run
    bare = by_name.pop("bare ONNX Runtime").metrics
    assert bare["asr"].value > 0.9
    del by_name["ONION"]
    for row in by_name.values():
        assert {len(row.series["clean"]), len(row.series["triggered"])} == {60, 30}
        assert row.metrics["cacc_undefended"].value == bare["cacc"].value
        for name in ("cacc", "asr", "tpr", "fpr", "auc"):
            metric = row.metrics[name]
            assert metric.low is not None
            assert metric.high is not None
            assert 0 <= metric.low <= metric.value <= metric.high <= 1
        over = [score > row.metrics["threshold"].value for score in row.series["clean"]]
        assert sum(over) / 60 == pytest.approx(row.metrics["fpr"].value, abs=1 / 60)
    for name in ("tpr", "fpr", "asr", "cacc", "auc"):  # one method, written twice
        published, plain = by_name["paper fp32"].metrics[name], by_name["X-GRAAD"].metrics[name]
        assert published.value == pytest.approx(plain.value, abs=0.15)
    record = make_record("quality", rows, seed=0, hashes={})
    assert read_record(write_record(record, tmp_path / "q.json")).kind == "quality"


def test_artifacts_find_their_attack(tiny_artifact: Path, attacked: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_encoder, other)
    (other / "attack.json").write_text(MANIFEST.to_json())
    first, second = pair_up([tiny_artifact], [attacked, other])
    assert (first.name, second.name) == ("badnets (model)", "badnets (other)")
    assert (len(first.artifacts), len(second.artifacts)) == (1, 0)
    manifest = attacked / "attack.json"
    (alone,) = pair_up([tiny_artifact], [manifest])
    assert (alone.name, alone.checkpoint, len(alone.artifacts)) == ("badnets", None, 1)
    with pytest.raises(InputError, match="exported from none of the attacked checkpoints"):
        pair_up([tiny_artifact], [other, manifest])


def test_attacks_of_one_name_are_told_apart_or_refused_before_anything_is_measured(
    tiny_artifact: Path, attacked: Path, tmp_path: Path
) -> None:
    for folder in ("a", "b"):
        shutil.copytree(attacked, tmp_path / folder / "model")
    found = pair_up([tiny_artifact], [tmp_path / "a" / "model", tmp_path / "b" / "model"])
    assert [attack.name for attack in found] == ["badnets (a/model)", "badnets (b/model)"]
    for artifacts, attacks in (([tiny_artifact], [attacked, attacked]), ([tiny_artifact] * 2, [attacked])):
        with pytest.raises(InputError, match="is given twice: give it once"):
            pair_up(artifacts, attacks)


def test_peers_need_clean_texts_and_a_checkpoint(
    tiny_artifact: Path, attacked: Path, test_texts: LabelledTexts, clean_texts: list[str]
) -> None:
    found = pair_up([tiny_artifact], [attacked])
    with pytest.raises(InputError, match="give some hundred with --clean"):
        next(measure_grid(found, test_texts, ("strip",)))
    found = pair_up([tiny_artifact], [attacked / "attack.json"])
    with pytest.raises(InputError, match="peers need the checkpoint of 'badnets'"):
        next(measure_grid(found, test_texts, ("strip",), clean_texts))
