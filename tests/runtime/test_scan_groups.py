"""Groups of words in references: every word is in one of each pass, and passes meet every condition."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.artifact import Reference
from tokenward.runtime.guard import Guard
from tokenward.runtime.scan_groups import GROUP, LEAST, SOURCES, Pass, group_size, groups_of, passes_of
from tokenward.runtime.tokenization import Tokenizer


def references(classes: int, words: int) -> list[Reference]:
    return [
        Reference(" ".join([f"w{label}"] * (words + ease)), label, 0.9, ease)
        for label in range(classes)
        for ease in (1, 0)
    ]


@given(st.integers(0, 700), st.integers(0, 9))
def test_every_word_is_in_one_group_of_a_pass(count: int, number: int) -> None:
    words = [str(each) for each in range(count)]
    groups = groups_of(words, number, GROUP)
    assert sorted(word for group in groups for word in group) == sorted(words)
    assert all(0 < len(group) <= GROUP for group in groups)
    assert len(groups) == -(-count // GROUP)


def test_words_have_other_company_in_each_pass() -> None:
    words = [str(each) for each in range(512)]
    pairs = [{pair for group in groups_of(words, n, GROUP) for pair in combinations(sorted(group), 2)} for n in (0, 1)]
    assert len(pairs[0] & pairs[1]) < 0.05 * len(pairs[0])


@pytest.mark.parametrize("classes", range(2, 12))
def test_each_class_is_tried_under_every_condition(classes: int) -> None:
    passes = passes_of(references(classes, 8), references(classes, 20))
    assert len(passes) == max(min(classes, SOURCES), LEAST)
    assert {each.reference.label for each in passes} == {*range(min(classes, SOURCES))}, "one condition"
    for label in range(classes):
        own = [each for each in passes if each.reference.label != label]
        assert {each.early for each in own} == {True, False}
        assert {each.long for each in own} == {True, False}
        assert {len(each.reference.text.split()) for each in own} == {8, 20}, "the hardest of each"


def test_short_references_take_the_place_of_long_ones() -> None:
    passes = passes_of(references(2, 8), references(1, 20))
    assert [(each.reference.label, each.early, each.long) for each in passes] == [
        (0, True, False),
        (1, False, False),
        (0, False, True),
        (1, True, False),
    ]


@pytest.mark.parametrize(("most", "size"), [(64, GROUP), (20, 5), (18, 4), (8, 1)])
def test_of_a_group_the_model_reads_every_word(most: int, size: int, lexicon_guard: Guard) -> None:
    """Eight words and two special tokens are read before the group: it must end within what is left."""
    path = lexicon_guard.artifact.tokenizer_path
    tokenizer = Tokenizer(path, most, lexicon_guard.reader.tokenizer.fast.get_vocab_size(), 0)
    reference = Reference("the film was dull and weak and boring", 0, 0.9, 0.0)
    assert group_size(tokenizer, Pass(0, reference, early=False, long=False)) == size
