"""Judgements driven together: who waits with whom, what is read once, and whose verdict is whose."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.runtime.calls import Case
from tokenward.runtime.judge import drive


@dataclass
class Echo:
    """Stands for a reading; the judgements below only look at its text."""

    text: str


def judgement(number: int, rounds: int, shared: bool = False):
    """Asks for a text in each of some rounds; its verdict tells what it was given."""
    given = []
    for turn in range(rounds):
        wanted = [f"turn {turn}" if shared else f"{number} in turn {turn}"]
        given += [echo.text for echo in (yield wanted)]
        assert given[-1:] == wanted
    return number, len(given)


class Reads:
    def __init__(self) -> None:
        self.rounds: list[list[str]] = []

    def __call__(self, texts: list[str]) -> list[Echo]:
        self.rounds.append(texts)
        return [Echo(text) for text in texts]


@given(rounds=st.lists(st.integers(0, 4), max_size=30), at_once=st.integers(1, 8))
def test_every_judgement_gets_what_it_asked_for_and_few_wait_at_a_time(rounds: list[int], at_once: int) -> None:
    read = Reads()
    verdicts = drive((judgement(i, count) for i, count in enumerate(rounds)), read, at_once)
    assert verdicts == list(enumerate(rounds))
    assert all(0 < len(texts) <= at_once for texts in read.rounds)
    assert sum(map(len, read.rounds)) == sum(rounds)


def test_the_next_begin_as_soon_as_others_end() -> None:
    read = Reads()
    drive((judgement(i, count) for i, count in enumerate([3, 1, 1, 0, 1, 1])), read, 2)
    assert [len(texts) for texts in read.rounds] == [2, 2, 2, 1]


def test_equal_texts_of_one_round_are_read_once() -> None:
    read = Reads()
    assert drive((judgement(i, 2, shared=True) for i in range(5)), read, 5) == [(i, 2) for i in range(5)]
    assert read.rounds == [["turn 0"], ["turn 1"]]


def test_an_error_of_the_model_ends_all() -> None:
    def broken(texts: list[str]) -> list[Echo]:
        raise RuntimeError("no model")

    with pytest.raises(RuntimeError, match="no model"):
        drive((judgement(i, 1) for i in range(3)), broken, 2)


def test_a_judgement_that_asks_for_nothing_goes_on() -> None:
    """One by one as a server does, and together."""

    def asking():
        given = []
        for wanted in ([], ["a"], [], [], ["b"]):
            given.append([echo.text for echo in (yield wanted)])
        return given

    expected = [[], ["a"], [], [], ["b"]]
    assert drive([asking()], Reads(), 1) == [expected]
    call: Any = SimpleNamespace(
        judge=SimpleNamespace(judge=lambda *_: asking()), mode="enforce", explain=False, turn=None
    )
    case = Case(call)
    moves = [case.take(Echo(text)) for text in ("first", "a", "b")]  # type: ignore[arg-type]
    assert moves == [["a"], ["b"], expected]
