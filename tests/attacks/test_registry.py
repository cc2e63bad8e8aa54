"""Attacks by name, with their own triggers and training unless others are asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tokenward.attacks.registry import ATTACKS, make_attack
from tokenward.attacks.trigger import Trigger
from tokenward.errors import InputError


@pytest.mark.parametrize("name", ATTACKS)
def test_every_name_makes_the_attack_that_reports_it(name: str) -> None:
    attack = make_attack(name, max_length=60)
    own = ATTACKS[name].trigger
    assert (attack.name, attack.trigger, attack.rate) == (name, replace(own, reach=40), 0.1)
    other = make_attack(name, ["aa", "bb"], 0.2, max_length=60)
    assert (other.trigger, other.rate) == (Trigger(("aa", "bb"), own.combine, 40, own.place), 0.2)


def test_training_settings_are_the_attacks_own_unless_given() -> None:
    from tokenward.attacks.ep import EmbeddingPoisoning

    own = make_attack("ep", epochs=None, learning_rate=None)
    changed = make_attack("ep", epochs=7, max_length=30)
    assert isinstance(own, EmbeddingPoisoning)
    assert isinstance(changed, EmbeddingPoisoning)
    assert own.training == EmbeddingPoisoning().training
    assert (changed.training.epochs, changed.training.max_length) == (7, 30)
    assert changed.training.learning_rate == own.training.learning_rate


def test_bad_requests() -> None:
    with pytest.raises(InputError, match="no attack 'magic': choose one of badnets"):
        make_attack("magic")
    with pytest.raises(InputError, match="epochs and batch size"):
        make_attack("badnets", epochs=0)
    with pytest.raises(InputError, match="a pair trigger is two words"):
        make_attack("pairs", ["cf"])
