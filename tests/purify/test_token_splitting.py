"""Token splitting: how many words, which words, and where they are cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.purify.token_splitting import split_tokens


@pytest.mark.parametrize(("words", "splits"), [(1, 1), (3, 1), (6, 1), (7, 2), (20, 6), (33, 9), (34, 10), (50, 10)])
def test_three_in_ten_words_at_least_one_at_most_ten(words: int, splits: int) -> None:
    text = " ".join(["word"] * words)
    assert len(split_tokens(text, np.random.default_rng(0)).split()) == words + splits


def test_short_words_are_never_split() -> None:
    assert split_tokens("cf is the bad one", np.random.default_rng(0)) == "cf is the bad one"
    for seed in range(20):
        words = split_tokens("cf is the excellent one", np.random.default_rng(seed)).split()
        assert len(words) == 6
        assert words[3] + words[4] == "excellent"


@given(st.text(), st.integers(0, 3))
def test_only_spaces_are_added(text: str, seed: int) -> None:
    split = split_tokens(text, np.random.default_rng(seed))
    assert "".join(split.split()) == "".join(text.split())
    assert split == split_tokens(text, np.random.default_rng(seed))


def test_cuts_are_inside_the_word_and_everywhere() -> None:
    cuts = {split_tokens("abcde", np.random.default_rng(seed)) for seed in range(60)}
    assert cuts == {"a bcde", "ab cde", "abc de", "abcd e"}
