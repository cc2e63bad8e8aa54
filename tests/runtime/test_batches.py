"""Micro-batches: every text once, within the budget, like lengths together."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.runtime.batch_cost import BatchCost
from tokenward.runtime.batches import pad, plan
from tokenward.runtime.tokenization import Encoding

costs = st.builds(BatchCost, st.integers(0, 30), st.booleans())


@given(
    lengths=st.lists(st.integers(1, 512), max_size=200),
    budget=st.integers(1, 4096),
    cost=st.builds(BatchCost, st.integers(0, 5000), st.booleans()),
)
def test_plan_covers_all_within_the_budget(lengths: list[int], budget: int, cost: BatchCost) -> None:
    groups = plan(lengths, budget, cost)
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    for group in groups:
        longest = max(lengths[i] for i in group)
        assert len(group) == 1 or longest * len(group) <= budget
    flat = [lengths[i] for group in groups for i in group]
    assert flat == sorted(lengths, reverse=True)


@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=8), budget=st.integers(1, 120), cost=costs)
def test_no_way_to_cut_the_sorted_texts_costs_less(lengths: list[int], budget: int, cost: BatchCost) -> None:
    def total(groups: list[list[int]]) -> float:
        members = [[lengths[i] for i in group] for group in groups]
        return sum(cost(max(group), len(group), sum(group)) for group in members)

    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    ways = []
    for count in range(len(order)):
        for cuts in combinations(range(1, len(order)), count):
            ends = [0, *cuts, len(order)]
            groups = [order[a:b] for a, b in pairwise(ends)]
            if all(len(group) == 1 or lengths[group[0]] * len(group) <= budget for group in groups):
                ways.append(total(groups))
    assert total(plan(lengths, budget, cost)) == pytest.approx(min(ways))


def test_where_starting_is_dear_the_budget_is_filled() -> None:
    assert plan([10] * 7, 30, BatchCost(10_000)) == [[0], [1, 2, 3], [4, 5, 6]]
    assert plan([100, 5, 5, 5], 1000, BatchCost(20)) == [[0], [1, 2, 3]]
    assert plan([100, 5, 5, 5], 1000, BatchCost(10_000)) == [[0, 1, 2, 3]]


def test_padding_costs_little_in_a_packed_graph_until_texts_are_long() -> None:
    assert plan([50, 10, 10, 10], 1000, BatchCost(start=16, packed=True)) == [[0, 1, 2, 3]]
    assert plan([400, 10, 10, 10], 4000, BatchCost(start=16, packed=True)) == [[0], [1, 2, 3]]
    usual, packed = BatchCost(start=0), BatchCost(start=0, packed=True)
    assert packed(200, 4, 260) < usual(200, 4, 260)


def test_pad_is_on_the_right_with_the_pad_id() -> None:
    def encoding(*ids: int) -> Encoding:
        zeros = np.zeros(len(ids), dtype=np.int64)
        return Encoding(np.array(ids, dtype=np.int64), zeros, zeros, zeros, False)

    batch = pad([encoding(5, 6, 7), encoding(8)], pad_id=1)
    assert batch.input_ids.tolist() == [[5, 6, 7], [8, 1, 1]]
    assert batch.attention_mask.tolist() == [[1, 1, 1], [1, 0, 0]]
