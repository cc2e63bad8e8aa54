"""Gates: what they score, how they are fitted, what is suspicious."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tokenward.artifact import GateFit, Histogram
from tokenward.errors import InputError
from tokenward.runtime.gates import ClassTokenGate, Score, excess, fit, raising_score
from tokenward.runtime.reading import Reading
from tokenward.runtime.tokenization import Encoding


def reading(ids: list[int], words: list[int], attention: list[float]) -> Reading:
    zeros = np.zeros(len(ids), dtype=np.int64)
    encoding = Encoding(np.array(ids), zeros, zeros, np.array(words), False)
    tokens = {"class_attention": np.array(attention, dtype=np.float32)}
    return Reading("", encoding, np.zeros(2, dtype=np.float32), tokens, None, -1)


def test_pieces_and_occurrences_of_a_word_are_summed_and_the_two_strongest_taken() -> None:
    #                 [CLS]  cf   un ##do  cf  plain [SEP]
    one = reading([1, 7, 8, 9, 7, 5, 2], [-1, 0, 1, 1, 2, 3, -1], [0.1, 0.2, 0.15, 0.1, 0.2, 0.05, 0.2])
    score = ClassTokenGate().score(one)
    assert score.value == pytest.approx(0.4 + 0.25)
    assert score.words == (0, 1, 3)
    assert ClassTokenGate(1).score(one).value == pytest.approx(0.4)
    assert ClassTokenGate(1).score(one).words == score.words


def test_special_tokens_are_never_suspects() -> None:
    assert ClassTokenGate().score(reading([1, 2], [-1, -1], [0.5, 0.5])) == Score(0, ())


def made_fit(threshold: float, length_calibrated: bool = False) -> GateFit:
    return GateFit(95.0, threshold, length_calibrated, -0.5, 0.25, Histogram((0.0, 1.0), (1,)))


def test_suspicion_starts_at_the_threshold() -> None:
    assert excess(Score(1.5, (0,)), 10, made_fit(1.5)) == 0
    assert excess(Score(1.4, (0,)), 10, made_fit(1.5)) < 0
    assert excess(Score(None, ()), 10, made_fit(-1.0)) == -math.inf
    assert excess(Score(9.0, ()), 10, made_fit(1.5)) == -math.inf
    assert excess(Score(math.nan, ()), 10, made_fit(1.5)) == math.inf


@pytest.mark.parametrize("length_calibrated", [False, True])
@pytest.mark.parametrize("length", [1, 7, 300])
def test_the_raising_score_is_where_suspicion_starts(length_calibrated: bool, length: int) -> None:
    made = made_fit(0.3, length_calibrated)
    start = raising_score(length, made)
    assert excess(Score(start, (0,)), length, made) == pytest.approx(0, abs=1e-12)
    assert excess(Score(start * 0.999, (0,)), length, made) < 0 < excess(Score(start * 1.001, (0,)), length, made)


def test_length_calibration_takes_the_trend_out() -> None:
    draw = np.random.default_rng(0)
    readings = []
    for _ in range(300):
        n = int(draw.integers(5, 200))
        share = n**-0.6 * float(np.exp(draw.normal(0, 0.1)))
        readings.append(reading([3] * n, [-1, 0, *[-1] * (n - 2)], [0.0, share, *[0.0] * (n - 2)]))
    fitted = fit(ClassTokenGate(), readings, 90.0)
    assert fitted.slope == pytest.approx(-0.6, abs=0.03)
    over = [excess(ClassTokenGate().score(r), len(r.encoding), fitted) >= 0 for r in readings]
    assert sum(over) == pytest.approx(30, abs=1)
    assert sum(fitted.histogram.counts) == 300


def test_texts_of_one_length_give_a_level_line() -> None:
    same = [reading([1, 7, 2], [-1, 0, -1], [0.2, 0.3 + i / 1000, 0.1]) for i in range(100)]
    assert fit(ClassTokenGate(), same, 90.0).slope == 0


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(InputError, match="no clean text has a word"):
        fit(ClassTokenGate(), [reading([1, 2], [-1, -1], [0.5, 0.5])] * 100, 90.0)
    with pytest.raises(InputError, match="not finite"):
        fit(ClassTokenGate(), [reading([1, 7, 2], [-1, 0, -1], [0.2, math.nan, 0.1])] * 100, 90.0)
