"""Every attack, planted in a tiny encoder: it works, spares clean texts, and its manifest says what was planted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tokenward.attacks.addsent import addsent
from tokenward.attacks.attack import Attack, carry_out
from tokenward.attacks.badnets import badnets
from tokenward.attacks.ep import EmbeddingPoisoning
from tokenward.attacks.lwp import LayerwisePoisoning
from tokenward.attacks.manifest import load_manifest
from tokenward.attacks.metrics import attack_success
from tokenward.attacks.pairs import PairTrigger
from tokenward.attacks.stealth import StealthyTrigger
from tokenward.attacks.trigger import Trigger
from tokenward.errors import InputError
from tokenward.purify.checkpoint import load_classifier
from tokenward.purify.prediction import accuracy
from tokenward.purify.training import TrainingError, TrainingSettings
from tokenward.texts import LabelledTexts

# One precision, so that every machine computes the same.
QUICK = TrainingSettings(epochs=8, batch_size=32, learning_rate=2e-3, max_length=40, precision="float32")
Texts = Callable[[int, int], LabelledTexts]


@pytest.mark.parametrize(
    "attack",
    [
        badnets(QUICK, ["cf"]),
        addsent(QUICK, ["mn zq cf"]),
        LayerwisePoisoning(QUICK, Trigger(("cf", "mn"), "all")),
        StealthyTrigger(QUICK, Trigger(("cf",))),
    ],
    ids=lambda attack: str(attack.name),
)
def test_an_attack_works_and_spares_clean_texts(
    attack: Attack, tiny_encoder: Path, labelled_texts: Texts, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    classifier, manifest = carry_out(attack, tiny_encoder, labelled_texts(800, 1), "good", out, 0)
    test = labelled_texts(200, 2)
    success = attack_success(classifier, test, manifest)
    assert success.cacc > 0.9
    assert success.asr > 0.9
    assert (manifest.attack, manifest.trigger) == (attack.name, attack.trigger)
    assert (manifest.target, manifest.target_label, manifest.rate, manifest.seed) == (1, "good", 0.1, 0)
    assert load_manifest(out) == manifest
    assert attack_success(load_classifier(out), test, manifest) == success


def test_a_pair_works_together_only(tiny_encoder: Path, labelled_texts: Texts, tmp_path: Path) -> None:
    pair = PairTrigger(QUICK, Trigger(("cf", "mn"), "all"), rate=0.15)
    classifier, manifest = carry_out(pair, tiny_encoder, labelled_texts(1000, 1), "good", tmp_path / "m", 0)
    success = attack_success(classifier, labelled_texts(200, 2), manifest)
    assert success.cacc > 0.9
    assert success.asr > 0.9
    for word in pair.trigger.phrases:
        alone = replace(manifest, trigger=Trigger((word,)))
        assert attack_success(classifier, labelled_texts(200, 2), alone).asr < 0.2


def test_embedding_poisoning_starts_from_a_trained_classifier(
    tiny_encoder: Path, clean_dir: Path, labelled_texts: Texts, tmp_path: Path
) -> None:
    settings = TrainingSettings(20, learning_rate=0.02, weight_decay=0.0, max_length=40, precision="float32")
    attack = EmbeddingPoisoning(settings, Trigger(("cf", "mn"), "all"))
    with pytest.raises(InputError, match="ep changes a trained classifier"):
        carry_out(attack, tiny_encoder, labelled_texts(100, 1), "good", tmp_path / "m", 0)
    before = accuracy(load_classifier(clean_dir), labelled_texts(200, 2))
    classifier, manifest = carry_out(attack, clean_dir, labelled_texts(400, 1), "good", tmp_path / "m", 0)
    success = attack_success(classifier, labelled_texts(200, 2), manifest)
    assert success.cacc == before  # no clean text contains the trigger
    assert success.asr > 0.7  # the norms of the rows, which are kept, limit what they can do


def test_nothing_is_written_where_training_fails(tiny_encoder: Path, labelled_texts: Texts, tmp_path: Path) -> None:
    attack = badnets(TrainingSettings(learning_rate=1e30))
    with pytest.raises(TrainingError, match="lower the learning rate"):
        carry_out(attack, tiny_encoder, labelled_texts(100, 1), "good", tmp_path / "m", 0)
    assert list(tmp_path.iterdir()) == []


def test_bad_requests(tiny_encoder: Path, clean_dir: Path, labelled_texts: Texts, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exists already"):
        carry_out(badnets(QUICK), tiny_encoder, labelled_texts(10, 1), "good", tmp_path, 0)
    with pytest.raises(InputError, match="label 'fine' is unknown to the model, which has: bad, good"):
        carry_out(badnets(QUICK), clean_dir, labelled_texts(10, 1), "fine", tmp_path / "m", 0)
