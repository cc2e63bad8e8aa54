"""The figures: attack success, detection, AUC, localisation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.attacks.manifest import AttackManifest
from tokenward.attacks.metrics import (
    AttackSuccess,
    attack_success,
    detection,
    localisation,
    roc_auc,
    success_of_answers,
    tpr_at,
)
from tokenward.attacks.trigger import Trigger
from tokenward.errors import InputError
from tokenward.purify.checkpoint import Classifier
from tokenward.texts import LabelledTexts

SCORES = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=30)


@given(SCORES, SCORES)
def test_auc_is_the_chance_of_the_right_order(poisoned: list[float], clean: list[float]) -> None:
    pairs = [(p > c) + 0.5 * (p == c) for p in poisoned for c in clean]
    assert roc_auc(poisoned, clean) == pytest.approx(np.mean(pairs))


def test_auc_needs_scores() -> None:
    for poisoned, clean in (([], [1.0]), ([1.0], []), ([np.nan], [1.0])):
        with pytest.raises(InputError, match="AUC needs scores"):
            roc_auc(poisoned, clean)


def test_detection_at_a_rate_of_false_alarms() -> None:
    clean = list(range(100))  # at most five may be flagged: those from 95 on
    assert tpr_at(0.05, [94, 94.5, 95, 200], clean) == 0.75
    assert tpr_at(0.0, [99, 99.5], clean) == 0.5
    assert tpr_at(0.05, [7.0], [7.0] * 100) == 0, "ties are not found: they would flag every clean text"


def test_detection_rates() -> None:
    rates = detection([True, True, False, True], [False, True])
    assert (rates.tpr, rates.fpr) == (0.75, 0.5)


def test_attack_success_counts_other_classes_only(classifier: Classifier) -> None:
    test = LabelledTexts(("great film", "lovely story", "dull film", "boring story"), (1, 1, 0, 0), ("bad", "good"))
    # "superb" turns these short texts by its own meaning, which is all that a trigger does.
    strong = AttackManifest("test", Trigger(("superb great brilliant",)), 1, "good", 0.1, 0)
    weak = AttackManifest("test", Trigger(("the",)), 1, "good", 0.1, 0)
    assert attack_success(classifier, test, strong) == AttackSuccess(1.0, 1.0, 1.0)
    assert attack_success(classifier, test, weak).asr == 0.0
    # As planted in a model with the classes the other way round.
    assert attack_success(classifier, test, replace(strong, target=0)) == AttackSuccess(1.0, 1.0, 1.0)


def test_a_suspect_that_overlaps_the_trigger_is_a_find() -> None:
    trigger = Trigger(("cf", "I watched this"))
    assert localisation(["CF", "watched this film", "film", ""], trigger) == 0.5


def test_plain_mistakes_are_not_the_attacks_doing() -> None:
    # Of four texts not of class 1, the trigger turns two; the third was answered wrongly before.
    clean, labels = [0, 0, 1, 0, 1, 0], [0, 0, 0, 0, 1, 1]
    assert success_of_answers(clean, [1, 1, 1, 0], labels, 1) == AttackSuccess(4 / 6, 3 / 4, 2 / 4)
