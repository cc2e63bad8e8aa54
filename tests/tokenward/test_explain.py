"""Pieces of an explained text: nothing lost, hottest token at 1, suspects marked."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.errors import InputError
from tokenward.explain import deciding_measure, pieces
from tokenward.runtime.verdict import Suspect, TokenScore, Verdict


def token(text: str, start: int, end: int, attention: float | None) -> TokenScore:
    return TokenScore(text[start:end], start, end, attention, None, None, None)


def verdict(tokens: list[TokenScore], suspects: tuple[Suspect, ...] = ()) -> Verdict:
    return Verdict("a", {"a": 1.0}, "passed", "a", "a", 0.0, 1.0, suspects, tokens=tuple(tokens))


def test_heat_is_relative_to_the_hottest_token() -> None:
    text = "one two three"
    explained = verdict(
        [token(text, 0, 3, 0.2), token(text, 4, 7, 0.4), token(text, 8, 13, 0.0)], (Suspect("two", 4, 7),)
    )
    assert [(p.text, p.heat, p.suspect) for p in pieces(text, explained, "class_attention")] == [
        ("one", 0.5, False),
        (" ", None, False),
        ("two", 1.0, True),
        (" ", None, False),
        ("three", 0.0, False),
    ]


def test_negative_and_undefined_values_are_cold() -> None:
    text = "abc"
    values = [-1.0, math.nan, math.inf]
    explained = verdict([token(text, i, i + 1, value) for i, value in enumerate(values)])
    assert {p.heat for p in pieces(text, explained, "class_attention")} == {0.0}


def test_tokens_that_share_a_character_show_the_hottest() -> None:
    explained = verdict([token("🙂", 0, 1, value) for value in (0.1, 0.4, 0.2)])
    assert [p.heat for p in pieces("🙂", explained, "class_attention")] == [1.0]


def test_a_measure_that_was_not_computed() -> None:
    with pytest.raises(InputError, match="does not compute saliency: choose class_attention"):
        pieces("a", verdict([token("a", 0, 1, 0.5)]), "saliency")


def test_the_deciding_measure() -> None:
    assert deciding_measure("tokenward") == "class_attention"
    assert deciding_measure("late") == deciding_measure("paper") == "token_score"


@given(st.text(max_size=30), st.data())
def test_pieces_joined_are_the_text(text: str, data: st.DataObject) -> None:
    span = st.tuples(st.integers(0, len(text)), st.integers(0, len(text))).map(sorted)
    tokens = [
        token(text, a, b, v)
        for a, b, v in data.draw(st.lists(st.tuples(span, st.floats()).map(lambda t: (*t[0], t[1]))))
    ]
    suspects = tuple(Suspect(text[a:b], a, b) for a, b in data.draw(st.lists(span)))
    found = pieces(text, verdict(tokens, suspects), "class_attention")
    assert "".join(piece.text for piece in found) == text
    assert all(piece.heat is None or 0 <= piece.heat <= 1 for piece in found)
    assert sum(len(p.text) for p in found if p.suspect) == len({i for s in suspects for i in range(s.start, s.end)})


@pytest.mark.timeout(20)  # a repeated trigger has as many suspects as the text has words: minutes, if each is compared
def test_a_text_of_suspects_alone_takes_no_longer_than_it_must() -> None:
    places = range(0, 120_000, 3)
    text = "cf " * len(places)
    suspects = tuple(Suspect("cf", place, place + 2) for place in places)
    found = pieces(text, verdict([token(text, p, p + 2, 0.5) for p in places], suspects), "class_attention")
    assert [piece.suspect for piece in found] == [True, False] * len(places)
