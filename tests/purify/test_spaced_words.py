"""Words change, blanks stay."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tokenward.purify.spaced_words import SpacedWords

TEXTS = st.text(alphabet="ab \n\t\u3000\x1c\x85")


@given(TEXTS)
def test_words_are_those_of_split_and_nothing_is_lost(text: str) -> None:
    assert SpacedWords(text).words == text.split()
    assert str(SpacedWords(text)) == text


@given(TEXTS, st.data())
def test_an_inserted_word_leaves_all_else(text: str, data: st.DataObject) -> None:
    spaced = SpacedWords(text)
    words = list(spaced.words)
    place = data.draw(st.integers(0, len(words)))
    spaced.insert(place, "X")
    assert str(spaced).split() == [*words[:place], "X", *words[place:]]
    assert text in {str(spaced).replace("X ", ""), str(spaced).replace(" X", ""), str(spaced).replace("X", "")}


def test_where_blanks_go() -> None:
    for place, expected in enumerate((" X a\n\nb  c\n", " a X\n\nb  c\n", " a\n\nb X  c\n", " a\n\nb  c X\n")):
        spaced = SpacedWords(" a\n\nb  c\n")
        spaced.insert(place, "X")
        assert str(spaced) == expected
    for places, expected in (({0}, " b  c\n"), ({1}, " a\n\nc\n"), ({2}, " a\n\nb\n"), ({0, 2}, " b\n")):
        spaced = SpacedWords(" a\n\nb  c\n")
        spaced.delete(places)
        assert str(spaced) == expected
