"""Micro-batches: every text once, within the budget, like lengths together."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tokenward.runtime.batches import pad, plan
from tokenward.runtime.tokenization import Encoding


def cost(lengths: list[int], groups: list[list[int]], start: int) -> int:
    return sum(max(lengths[i] for i in group) * len(group) + start for group in groups)


@given(lengths=st.lists(st.integers(1, 512), max_size=200), budget=st.integers(1, 4096), start=st.integers(0, 5000))
def test_plan_covers_all_within_the_budget(lengths: list[int], budget: int, start: int) -> None:
    groups = plan(lengths, budget, start)
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    for group in groups:
        longest = max(lengths[i] for i in group)
        assert len(group) == 1 or longest * len(group) <= budget
    flat = [lengths[i] for group in groups for i in group]
    assert flat == sorted(lengths, reverse=True)


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=8), budget=st.integers(1, 120), start=st.integers(0, 30)
)
def test_no_way_to_cut_the_sorted_texts_costs_less(lengths: list[int], budget: int, start: int) -> None:
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    ways = []
    for count in range(len(order)):
        for cuts in combinations(range(1, len(order)), count):
            ends = [0, *cuts, len(order)]
            groups = [order[a:b] for a, b in pairwise(ends)]
            if all(len(group) == 1 or lengths[group[0]] * len(group) <= budget for group in groups):
                ways.append(cost(lengths, groups, start))
    assert cost(lengths, plan(lengths, budget, start), start) == min(ways)


def test_where_starting_is_dear_the_budget_is_filled() -> None:
    assert plan([10] * 7, 30, 10_000) == [[0], [1, 2, 3], [4, 5, 6]]
    assert plan([100, 5, 5, 5], 1000, 20) == [[0], [1, 2, 3]]
    assert plan([100, 5, 5, 5], 1000, 10_000) == [[0, 1, 2, 3]]


def test_pad_is_on_the_right_with_the_pad_id() -> None:
    def encoding(*ids: int) -> Encoding:
        zeros = np.zeros(len(ids), dtype=np.int64)
        return Encoding(np.array(ids, dtype=np.int64), zeros, zeros, zeros, False)

    batch = pad([encoding(5, 6, 7), encoding(8)], pad_id=1)
    assert batch.input_ids.tolist() == [[5, 6, 7], [8, 1, 1]]
    assert batch.attention_mask.tolist() == [[1, 1, 1], [1, 0, 0]]
