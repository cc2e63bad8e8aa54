"""Bootstrap intervals against what theory says about a mean."""

from __future__ import annotations

import numpy as np
import pytest

from tokenward.bench.bootstrap import intervals


def test_the_interval_of_a_mean_is_the_normal_one() -> None:
    values = np.random.default_rng(0).normal(3, 2, 400)
    found = intervals(lambda drawn: {"mean": float(values[drawn[0]].mean())}, [len(values)], draws=2000)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert found["mean"] == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)


def test_samples_are_drawn_on_their_own_and_by_the_seed() -> None:
    drawn: list[list[int]] = []

    def sizes(indices: object) -> dict[str, float]:
        first, second = indices  # type: ignore[misc]
        drawn.append([len(first), len(second)])
        return {"sum": float(first.sum() + second.sum())}

    first = intervals(sizes, [5, 3], draws=20, seed=4)
    assert drawn == [[5, 3]] * 20
    assert first == intervals(sizes, [5, 3], draws=20, seed=4) != intervals(sizes, [5, 3], draws=20, seed=5)


def test_what_no_draw_defines_is_left_out() -> None:
    values = iter([1.0, float("nan"), 3.0])
    found = intervals(lambda _: {"some": next(values), "none": float("nan")}, [1], draws=3)
    assert found.keys() == {"some"}
    assert 1 <= found["some"][0] <= found["some"][1] <= 3
