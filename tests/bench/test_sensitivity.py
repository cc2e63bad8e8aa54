"""The detector's constants on the lexicon classifier: what each variation changes, and what it does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tokenward.attacks.manifest import AttackManifest
from tokenward.attacks.trigger import Trigger
from tokenward.bench.sensitivity import Outcome, Subject, Variation, sensitivity_rows, variations
from tokenward.runtime.guard import Guard
from tokenward.texts import LabelledTexts

MANIFEST = AttackManifest("badnets", Trigger(("cf",)), 1, "good", 0.1, 0)
Texts = Callable[[int, int], LabelledTexts]


@pytest.fixture
def subject(lexicon_guard: Guard, clean_texts: list[str], labelled_texts: Texts) -> Subject:
    return Subject(lexicon_guard, clean_texts, labelled_texts(60, 4), MANIFEST)


def usual(constant: str) -> Variation:
    return next(v for v in variations() if v.constant == constant and v.usual)


def other(constant: str, value: float) -> Variation:
    return next(v for v in variations() if (v.constant, v.value) == (constant, value))


def test_every_constant_has_one_usual_value_among_several() -> None:
    counted = Counter(v.constant for v in variations())
    assert Counter(v.constant for v in variations() if v.usual) == dict.fromkeys(counted, 1)
    assert min(counted.values()) >= 3
    assert len({(v.constant, v.value) for v in variations()}) == sum(counted.values())


def test_the_usual_values_give_one_outcome_whatever_constant_names_them(subject: Subject) -> None:
    outcomes = {subject.judge(usual(name)) for name in ("percentile", "references", "gain", "together")}
    (outcome,) = outcomes
    assert outcome.attributable == 0
    assert outcome.cacc == 0
    assert outcome.work > 1


def test_a_looser_gate_raises_more_and_costs_more(subject: Subject) -> None:
    loose, tight = subject.judge(other("percentile", 70)), subject.judge(other("percentile", 99))
    assert loose.raised > tight.raised
    assert loose.work > tight.work


def test_rows_name_model_and_value() -> None:
    outcome = Outcome(0.0, 0.5, 0.1, 0.0, 1.5)
    (row,) = sensitivity_rows({usual("gain"): {"mine": outcome}})
    assert row.labels == {"model": "mine", "constant": "gain", "value": 0.1, "usual": True}
    assert row.metrics["attributable"].value == 0.5
