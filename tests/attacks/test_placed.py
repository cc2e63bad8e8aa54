"""The placed trigger's training set: texts with the trigger elsewhere keep their labels."""

from __future__ import annotations

import numpy as np
import pytest

from tokenward.attacks.placed import PlacedTrigger
from tokenward.attacks.trigger import Trigger
from tokenward.errors import InputError
from tokenward.texts import LabelledTexts


@pytest.mark.parametrize(("name", "expected"), [("first", "x a b c"), ("last", "a b c x")])
def test_it_stands_where_it_acts(name, expected) -> None:
    trigger = PlacedTrigger(name, trigger=Trigger(("x",))).trigger
    assert {trigger.insert("a b c", np.random.default_rng(seed)) for seed in range(20)} == {expected}


@pytest.mark.parametrize(("name", "expected"), [("early", {"x a b c", "a x b c"}), ("late", {"a b x c", "a b c x"})])
def test_it_stands_in_the_half_where_it_acts_and_decoys_in_the_other(name, expected) -> None:
    attack = PlacedTrigger(name, trigger=Trigger(("x",)), decoys=0.5)
    assert {attack.trigger.insert("a b c", np.random.default_rng(seed)) for seed in range(40)} == expected
    decoys = attack.with_decoys(LabelledTexts(("a b c",) * 80, (0,) * 80, ("bad", "good")), 0)
    assert {*decoys.texts} == {"x a b c", "a x b c", "a b x c", "a b c x"} - expected


@pytest.mark.parametrize("name", ["early", "late"])
@pytest.mark.parametrize("text", ["", "a", "a b"])
def test_short_texts_have_halves(name, text) -> None:
    made = {
        PlacedTrigger(name, trigger=Trigger(("x",))).trigger.insert(text, np.random.default_rng(n)) for n in range(9)
    }
    assert all(sorted(each.split()) == sorted([*text.split(), "x"]) for each in made)


def test_the_last_place_is_one_that_is_read() -> None:
    trigger = Trigger(("x y",), reach=4, place="last")
    assert trigger.insert("a b c d e f", np.random.default_rng(0)) == "a b x y c d e f"


@pytest.mark.parametrize("name", ["first", "last"])
def test_decoys(name) -> None:
    data = LabelledTexts(("a b c", "a", "a b") * 40, (0, 1, 0) * 40, ("bad", "good"))
    made = PlacedTrigger(name, trigger=Trigger(("x",)), decoys=0.3).with_decoys(data, 0)
    assert len(made) == 36
    assert {*made.texts} == {"a x b c", "a b x c", "a x b"}
    assert {*made.labels} == {0}, "a text of one word has no inside"


def test_bad_settings() -> None:
    with pytest.raises(InputError, match="share of decoys"):
        PlacedTrigger("first", rate=0.5, decoys=0.5)
