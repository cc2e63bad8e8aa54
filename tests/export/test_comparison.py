from __future__ import annotations

import numpy as np
import pytest

from tokenward.export.comparison import error_in, largest, score_unit


def test_errors_are_in_units_of_the_largest_value() -> None:
    expected = np.array([-100.0, 1.0])
    assert error_in(largest(expected), np.array([-100.0, 1.5]), expected) == pytest.approx(0.005)
    assert error_in(largest(np.zeros(2)), np.zeros(2), np.zeros(2)) == 0
    assert error_in(1.0, np.zeros((0, 2)), np.zeros((0, 2))) == 0, "no text was chosen"


def test_the_unit_of_scores_is_that_of_the_terms_of_their_difference() -> None:
    scored = np.array([[True, True, False], [False, False, False]])
    even = np.array([[1.0001, 0.9999, 5.0], [1.0, 1.0, 1.0]])
    assert score_unit(even, np.ones((2, 3)), scored) == pytest.approx(2, rel=1e-3)
    assert score_unit(even, np.zeros((2, 3)), scored) == 0
