"""Where words begin and can be put in, in scripts with and without spaces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.runtime.scripts import beginning, places, put_in

SPACED = st.lists(st.text("abcß,.é", min_size=1, max_size=6), min_size=1, max_size=15)


@given(SPACED, st.text("abc", min_size=1, max_size=5))
def test_between_blanks_it_is_splitting_and_joining(words: list[str], span: str) -> None:
    text = " ".join(words)
    found = places(text)
    assert len(found) == len(words) + 1
    for number, place in enumerate(found):
        assert put_in(text, span, place) == " ".join([*words[:number], span, *words[number:]])


@given(st.text("ab é好很電ก", max_size=20), st.sampled_from(["cf", "你好", "x你"]))
def test_nothing_of_the_text_is_lost_and_the_span_stands_in_it(text: str, span: str) -> None:
    for place in places(text):
        whole = put_in(text, span, place)
        assert span in whole
        assert "".join(whole.split()) == "".join((text[:place] + span + text[place:]).split())


def test_letters_of_unspaced_scripts_are_parted_and_marks_are_not() -> None:
    assert places("这部电影 film") == (0, 1, 2, 3, 5, 9)
    assert put_in("这部电影", "你好", 2) == "这部你好电影"
    assert put_in("这部电影", "cf", 2) == "这部 cf 电影"
    assert 1 not in places("กิน"), "the vowel sign belongs to the consonant"
    assert places("") == (0,)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a  film of\tfour words", ("a film of", 3)),
        ("two words", ("two words", 2)),
        ("这部电影很好看", ("这部电影很好", 3)),
        ("", ("", 0)),
    ],
)
def test_the_beginning_has_so_many_words(text: str, expected: tuple[str, int]) -> None:
    assert beginning(text, 3) == expected
