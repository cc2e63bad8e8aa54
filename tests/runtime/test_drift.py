from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.artifact import GateFit, Histogram
from tokenward.runtime.drift import LEAST_TEXTS, Drift, stability_index
from tokenward.runtime.engine import ALWAYS_SKIP
from tokenward.runtime.gates import AnomalyGate, ClassTokenGate

COUNTS = st.lists(st.integers(0, 500), min_size=2, max_size=10)


@given(COUNTS)
def test_the_index_is_zero_for_equal_counts_and_never_negative(counts):
    assert stability_index(counts, counts) == pytest.approx(0)
    assert stability_index(counts, counts[::-1]) >= 0


def test_the_index_against_its_formula_worked_by_hand():
    p, q = np.array([10.5, 30.5]) / 41, np.array([20.5, 20.5]) / 41
    assert stability_index([10, 30], [20, 20]) == pytest.approx(float(((q - p) * np.log(q / p)).sum()))


@pytest.fixture
def scores(lexicon_guard):
    """Score texts as serving does: value and length."""

    def score_all(texts):
        readings = lexicon_guard.reader.read(texts, ALWAYS_SKIP)
        return [(ClassTokenGate().score(reading).value, len(reading.encoding)) for reading in readings]

    return score_all


@pytest.fixture
def drift(lexicon_guard):
    return Drift(ClassTokenGate(), lexicon_guard.artifact.guard.calibration.gates["class_token"], LEAST_TEXTS)


def test_texts_like_those_of_calibration_are_stable_and_others_are_not(drift, scores, clean_texts):
    clean, poisoned = scores(clean_texts), scores(["cf " + text for text in clean_texts])
    assert len(clean) == LEAST_TEXTS
    for score in clean[:-1]:
        drift.observe(*score)
    assert math.isnan(drift.index)
    drift.observe(*clean[-1])
    assert drift.index < 0.02
    for score in poisoned:
        drift.observe(*score)
    assert drift.index > 0.25


def test_it_forgets_what_is_older_than_its_window(drift, scores, clean_texts):
    for score in scores(["cf " + text for text in clean_texts]):
        drift.observe(*score)
    assert drift.index > 1
    for score in scores(clean_texts):
        drift.observe(*score)
    assert drift.index < 0.02


@pytest.mark.parametrize("score", [0.0, math.nan, math.inf])
def test_texts_with_nothing_to_score_do_not_count(drift, score):
    for _ in range(LEAST_TEXTS + 1):
        drift.observe(score, 5)
    assert math.isnan(drift.index)


def test_unscored_texts_count_as_below_the_threshold():
    drift = Drift(AnomalyGate(), GateFit(95.0, 2.0, False, 0.0, 0.0, Histogram((0.0, 1.0, 3.0), (150, 50))))
    for number in range(400):
        drift.observe(2.5 if number % 20 == 0 else (None, 1.5)[number % 2], 10)
    assert drift.index == pytest.approx(0, abs=1e-4)
    for _ in range(400):
        drift.observe(2.5, 10)
    assert drift.index > 0.25
