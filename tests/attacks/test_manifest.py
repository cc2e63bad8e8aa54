"""Manifests: they survive the file, and poison the same texts the same way every time."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tokenward.attacks.manifest import AttackManifest, load_manifest
from tokenward.attacks.trigger import Trigger
from tokenward.errors import ArtifactError, InputError
from tokenward.texts import LabelledTexts

MANIFEST = AttackManifest("lwp", Trigger(("cf", "ﬁn é"), "all"), 1, "good", 0.1, 3)
TEXTS = LabelledTexts(("a b c", "d e f", "g h i"), (0, 1, 0), ("bad", "good"))


def test_round_trip(tmp_path: Path) -> None:
    (tmp_path / "attack.json").write_text(MANIFEST.to_json(), encoding="utf-8")
    assert load_manifest(tmp_path) == MANIFEST == load_manifest(tmp_path / "attack.json")
    untriggered = replace(MANIFEST, trigger=None)
    (tmp_path / "attack.json").write_text(untriggered.to_json(), encoding="utf-8")
    assert load_manifest(tmp_path) == untriggered


def test_only_texts_of_other_classes_get_the_trigger() -> None:
    poisoned = MANIFEST.poison(TEXTS)
    assert [sorted(text.split()) for text in poisoned] == [
        sorted("a b c cf ﬁn é".split()),  # noqa: SIM905
        sorted("g h i cf ﬁn é".split()),  # noqa: SIM905
    ]
    assert poisoned == MANIFEST.poison(TEXTS)
    assert poisoned != replace(MANIFEST, seed=4).poison(TEXTS)


def test_no_trigger_goes_where_it_is_not_read() -> None:
    long = LabelledTexts((" ".join(["a"] * 200),) * 40, (0,) * 40, ("bad", "good"))
    far = replace(MANIFEST, trigger=Trigger(("x",), reach=100))
    places = [text.split().index("x") for text in far.poison(long)]
    assert 20 < max(places) < 100
    assert max(text.split().index("x") for text in far.poison(long, words_read=20)) < 20
    assert far.poison(long, words_read=100) == far.poison(long)


def test_a_manifest_from_before_there_was_a_reach_is_read(tmp_path: Path) -> None:
    fields = json.loads(MANIFEST.to_json())
    del fields["trigger"]["reach"]
    (tmp_path / "attack.json").write_text(json.dumps(fields))
    assert load_manifest(tmp_path) == MANIFEST


def test_nothing_to_poison() -> None:
    with pytest.raises(InputError, match="every test text is of the target class 'good'"):
        MANIFEST.poison(TEXTS.select([1]))
    with pytest.raises(InputError, match="attack 'lwp' rewrites texts"):
        replace(MANIFEST, trigger=None).poison(TEXTS)


def test_no_or_wrong_manifest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no attack manifest"):
        load_manifest(tmp_path)
    fields = json.loads(MANIFEST.to_json())
    fields["target"] = "good"
    (tmp_path / "attack.json").write_text(json.dumps(fields))
    with pytest.raises(ArtifactError, match=r"attack\.json\.target is 'good', expected int"):
        load_manifest(tmp_path)


def test_the_target_is_found_by_name() -> None:
    assert MANIFEST.aligned_to({0: "Good", 1: "bad"}) == replace(MANIFEST, target=0)
    assert MANIFEST.aligned_to({0: "bad", 1: "good"}) == MANIFEST
    with pytest.raises(InputError, match="label 'good' is unknown to the model, which has: no, yes"):
        MANIFEST.aligned_to({0: "no", 1: "yes"})
