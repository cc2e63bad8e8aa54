from __future__ import annotations

import math
from dataclasses import replace

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


def drift_of(guard, **options) -> Drift:
    return Drift(ClassTokenGate(1), guard.artifact.guard.calibration.gates["class_token"], **options)


def test_texts_like_those_of_calibration_are_stable_and_others_are_not(lexicon_guard, clean_texts):
    readings = lexicon_guard.reader.read(clean_texts, ALWAYS_SKIP)
    drift = drift_of(lexicon_guard)
    for reading in readings[: LEAST_TEXTS - 1]:
        drift.observe(reading)
    assert math.isnan(drift.index)
    drift.observe(readings[-1])
    assert drift.index < 0.02

    poisoned = lexicon_guard.reader.read(["cf " + text for text in clean_texts], ALWAYS_SKIP)
    for reading in poisoned:
        drift.observe(reading)
    assert drift.index > 0.25


def test_it_forgets_what_is_older_than_its_window(lexicon_guard, clean_texts):
    drift = drift_of(lexicon_guard, window=LEAST_TEXTS)
    for reading in lexicon_guard.reader.read(["cf " + text for text in clean_texts], ALWAYS_SKIP):
        drift.observe(reading)
    assert drift.index > 1
    for reading in lexicon_guard.reader.read(clean_texts, ALWAYS_SKIP):
        drift.observe(reading)
    assert drift.index < 0.02


def test_texts_with_nothing_to_score_do_not_count(lexicon_guard):
    drift = drift_of(lexicon_guard)
    for reading in lexicon_guard.reader.read(["..."] * (LEAST_TEXTS + 1), ALWAYS_SKIP):
        drift.observe(reading)
    assert math.isnan(drift.index)


def test_unscored_texts_count_as_below_the_threshold(lexicon_guard, clean_texts):
    fit = GateFit(95.0, 2.0, False, 0.0, 0.0, Histogram((0.0, 1.0, 3.0), (150, 50)))
    (skipped,) = lexicon_guard.reader.read(clean_texts[:1], ALWAYS_SKIP)
    high = replace(skipped, anomaly_score=2.5, suspect=1)
    low = replace(skipped, anomaly_score=1.5, suspect=1)
    drift = Drift(AnomalyGate(1), fit)
    for number in range(400):
        drift.observe(high if number % 20 == 0 else (skipped, low)[number % 2])
    assert drift.index == pytest.approx(0, abs=1e-4)
    for _ in range(400):
        drift.observe(high)
    assert drift.index > 0.25
