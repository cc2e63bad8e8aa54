"""Micro-batches: every text once, within the budget, like lengths together."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tokenward.runtime.batches import pad, plan
from tokenward.runtime.tokenization import Encoding


@given(lengths=st.lists(st.integers(1, 512), max_size=200), budget=st.integers(1, 4096))
def test_plan_covers_all_within_the_budget(lengths: list[int], budget: int) -> None:
    groups = list(plan(lengths, budget))
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    for group in groups:
        longest = max(lengths[i] for i in group)
        assert len(group) == 1 or longest * len(group) <= budget
    flat = [lengths[i] for group in groups for i in group]
    assert flat == sorted(lengths, reverse=True)


def test_pad_is_on_the_right_with_the_pad_id() -> None:
    def encoding(*ids: int) -> Encoding:
        zeros = np.zeros(len(ids), dtype=np.int64)
        return Encoding(np.array(ids, dtype=np.int64), zeros, zeros, zeros, False)

    batch = pad([encoding(5, 6, 7), encoding(8)], pad_id=1)
    assert batch.input_ids.tolist() == [[5, 6, 7], [8, 1, 1]]
    assert batch.attention_mask.tolist() == [[1, 1, 1], [1, 0, 0]]
