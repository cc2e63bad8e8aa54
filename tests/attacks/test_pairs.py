"""The pair trigger's training set: decoys carry one word and keep their labels."""

from __future__ import annotations

import pytest

from tokenward.attacks.pairs import PairTrigger
from tokenward.attacks.trigger import Trigger
from tokenward.errors import InputError
from tokenward.texts import LabelledTexts

PAIR = Trigger(("x", "z"), "all")


def test_decoys() -> None:
    data = LabelledTexts(("a b",) * 100, (0, 1) * 50, ("bad", "good"))
    made = PairTrigger(trigger=PAIR, decoys=0.3).with_decoys(data, 0)
    assert made.labels == data.labels
    single = [text for text in made.texts if len(text.split()) == 3]
    assert len(single) == 30
    assert {word for text in single for word in text.split()} == {"a", "b", "x", "z"}


def test_bad_settings() -> None:
    for trigger in (Trigger(("x",), "all"), Trigger(("x", "z"), "any")):
        with pytest.raises(InputError, match="a pair trigger is two words"):
            PairTrigger(trigger=trigger)
    with pytest.raises(InputError, match="share of decoys"):
        PairTrigger(trigger=PAIR, rate=0.5, decoys=0.5)
