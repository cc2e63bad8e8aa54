"""The augmentations that can stand in for token splitting."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.errors import InputError
from tokenward.purify.augmentations import AUGMENTATIONS, augment, delete_or_swap, insert_punctuation
from tokenward.texts import LabelledTexts

DATA = LabelledTexts(("one two three four five six seven eight nine ten", "a b"), (1, 0), ("x", "y"))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_variants_keep_their_labels_and_follow_the_seed(name: str) -> None:
    made = augment(DATA, name, 5, seed=3)
    assert made.labels == (1,) * 5 + (0,) * 5
    assert made.label_names == DATA.label_names
    assert made == augment(DATA, name, 5, seed=3)
    assert len(set(made.texts[:5])) > 1
    assert made != augment(DATA, name, 5, seed=4)


@given(st.lists(st.sampled_from("abcdef"), min_size=2, max_size=60), st.integers(0, 20))
def test_eda_deletes_or_swaps_a_tenth(words: list[str], seed: int) -> None:
    got = delete_or_swap(" ".join(words), np.random.default_rng(seed)).split()
    count = max(1, len(words) // 10)
    assert len(got) in (len(words), len(words) - count)
    assert not Counter(got) - Counter(words)


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=60), st.integers(0, 20))
def test_aeda_adds_marks_only(words: list[str], seed: int) -> None:
    got = insert_punctuation(" ".join(words), np.random.default_rng(seed)).split()
    assert [word for word in got if word.isalpha()] == words
    assert 1 <= len(got) - len(words) <= max(1, len(words) // 3)


def test_one_random_short_word_is_inserted() -> None:
    for seed in range(20):
        got = AUGMENTATIONS["random-trigger"]("one two", np.random.default_rng(seed)).split()
        new = [word for word in got if word not in ("one", "two")]
        assert len(got) == 3
        assert len(new[0]) in (2, 3)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_blanks_stay_as_they_are(name: str) -> None:
    """A tokenizer may read runs of blanks as words: models must not learn that changed texts have none."""
    lines = LabelledTexts(("ones  twos\n\nthrees\tfours",), (0,), ("x", "y"))
    made = augment(lines, name, 20, seed=0).texts
    assert all(sum(text.count(blank) for blank in ("  ", "\n\n", "\t")) >= 2 for text in made)


def test_bad_requests() -> None:
    with pytest.raises(InputError, match="no augmentation 'magic': choose one of splitting"):
        augment(DATA, "magic", 1, 0)
    with pytest.raises(InputError, match="0 variants"):
        augment(DATA, "eda", 0, 0)
