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
    assert places == {0, 1, 2}
    assert Trigger(("x",), reach=9).insert("a", rng) in ("x a", "a x")


@pytest.mark.parametrize("trigger", [Trigger(("x x x",), reach=5), Trigger(("x", "x x", "x"), "all", reach=5)])
def test_it_is_read_to_its_end(trigger: Trigger) -> None:
    rng = np.random.default_rng(0)
    text = " ".join(map(str, range(200)))
    last = {max(i for i, word in enumerate(trigger.insert(text, rng).split()) if word == "x") for _ in range(200)}
    assert max(last) == 4


def test_a_reader_of_less_is_met() -> None:
    trigger = Trigger(("x",), reach=50)
    assert (trigger.within(20).reach, trigger.within(90).reach, trigger.within(None).reach) == (20, 50, 50)
    assert Trigger(("x",)).within(7).reach == 7


@given(st.text(alphabet="ab \n\t\u3000"), st.integers(0, 50))
def test_the_rest_of_the_text_stays_as_it_is(text: str, seed: int) -> None:
    """Byte-level tokenizers read runs of blanks as words: were they lost, that would be a second trigger."""
    got = Trigger(("x y", "z"), "all").insert(text, np.random.default_rng(seed))
    forms = (f"{phrase} " for phrase in ("x y", "z")), (f" {phrase}" for phrase in ("x y", "z"))
    for before, after in zip(*forms, strict=True):
        got = got.replace(before, "", 1) if before in got else got.replace(after, "", 1)
    assert got.replace("x y", "").replace("z", "").strip() == text.strip()


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=12), st.integers(0, 50))
def test_single_blanks_give_the_places_they_always_gave(words: list[str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    expected = list(words)
    for phrase in ("x y", "z"):
        expected.insert(int(rng.integers(len(expected) + 1)), phrase)
    got = Trigger(("x y", "z"), "all").insert(" ".join(words), np.random.default_rng(seed))
    assert got == " ".join(expected)
