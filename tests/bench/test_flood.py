"""A flood of odd words against the lexicon classifier: the budget holds, the fallback is counted, memory is bounded."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import numpy as np
import pytest

from tokenward.bench.flood import flood, flood_row, odd_words
from tokenward.errors import InputError
from tokenward.runtime.guard import Guard, GuardOptions

MakeGuard = Callable[[GuardOptions], Guard]


def test_odd_words_are_never_the_same() -> None:
    words = list(islice(odd_words(np.random.default_rng(0)), 2000))
    assert len(set(words)) == 2000
    assert all(4 <= len(word) <= 9 for word in words)


def test_past_the_budget_the_fallback_decides_and_the_cache_stays_bounded(
    make_lexicon_guard: MakeGuard, clean_texts: list[str]
) -> None:
    guard = make_lexicon_guard(GuardOptions(budget_share=0.005, budget_burst=100, cache_capacity=30))
    found = flood(guard, make_lexicon_guard(GuardOptions()), clean_texts, 600)
    assert found.requests == 600
    assert 0 < found.fallbacks <= found.suspicious
    assert max(found.entries) <= 30
    assert found.times_normal.median > 0
    assert flood_row(found).metrics["fallbacks"].value == found.fallbacks


def test_with_credit_left_nothing_falls_back(make_lexicon_guard: MakeGuard, clean_texts: list[str]) -> None:
    guards = [make_lexicon_guard(GuardOptions()) for _ in range(2)]
    assert flood(*guards, clean_texts, 500).fallbacks == 0


def test_too_little_to_measure(lexicon_guard: Guard) -> None:
    with pytest.raises(InputError, match="at least 500 requests"):
        flood(lexicon_guard, lexicon_guard, ["a film"], 100)
