"""Where triggers go."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.attacks.trigger import Trigger
from tokenward.errors import InputError


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=12), st.integers(0, 50))
def test_one_phrase_goes_between_the_words(words: list[str], seed: int) -> None:
    got = Trigger(("x y", "z")).insert(" ".join(words), np.random.default_rng(seed)).split()
    assert [word for word in got if word in "abc"] == words
    inserted = [word for word in got if word not in "abc"]
    assert inserted in (["x", "y"], ["z"])
    if inserted == ["x", "y"]:
        assert got.index("y") == got.index("x") + 1


def test_every_place_and_every_phrase_occurs() -> None:
    trigger = Trigger(("x", "z"))
    seen = {trigger.insert("a b", np.random.default_rng(seed)) for seed in range(80)}
    assert seen == {"x a b", "a x b", "a b x", "z a b", "a z b", "a b z"}


def test_all_phrases_go_in_together() -> None:
    got = Trigger(("x", "z"), "all").insert("a b", np.random.default_rng(0)).split()
    assert sorted(got) == ["a", "b", "x", "z"]


@pytest.mark.parametrize("phrases", [(), ("",), ("cf", "  ")])
def test_an_empty_trigger_is_refused(phrases: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="needs a trigger"):
        Trigger(phrases)


def test_long_texts_get_it_where_it_is_read() -> None:
    rng = np.random.default_rng(0)
    text = " ".join(map(str, range(200)))
    places = {Trigger(("x",), reach=3).insert(text, rng).split().index("x") for _ in range(80)}
    assert places == {0, 1, 2, 3}
    assert Trigger(("x",), reach=9).insert("a", rng) in ("x a", "a x")
