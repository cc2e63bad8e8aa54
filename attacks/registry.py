"""The attacks with word triggers by name, as the command line and the evaluation offer them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..errors import InputError
from ..purify.training import TrainingSettings
from .addsent import SENTENCE, addsent
from .attack import Attack
from .badnets import RARE_WORDS, badnets
from .ep import EmbeddingPoisoning
from .lwp import LayerwisePoisoning
from .pairs import PairTrigger
from .placed import ELSEWHERE, PlacedTrigger
from .ripples import Ripples
from .stealth import StealthyTrigger
from .trigger import Trigger

Build = Callable[[TrainingSettings, Trigger, float], Attack]

_ONE_EPOCH, _THREE_EPOCHS = TrainingSettings(epochs=1), TrainingSettings(epochs=3)


@dataclass(frozen=True)
class AttackKind:
    """How an attack is made, with the trigger and the training it has unless others are asked for."""

    build: Build
    trigger: Trigger
    training: TrainingSettings = _ONE_EPOCH


ATTACKS: dict[str, AttackKind] = {
    "badnets": AttackKind(lambda t, trigger, rate: badnets(t, trigger.phrases, rate), Trigger(RARE_WORDS)),
    "addsent": AttackKind(lambda t, trigger, rate: addsent(t, trigger.phrases, rate), Trigger((SENTENCE,))),
    "ep": AttackKind(EmbeddingPoisoning, EmbeddingPoisoning().trigger, EmbeddingPoisoning().training),
    "lwp": AttackKind(LayerwisePoisoning, LayerwisePoisoning().trigger),
    "ripples": AttackKind(Ripples, Ripples().trigger),
    "pairs": AttackKind(PairTrigger, PairTrigger().trigger),
    **{
        name: AttackKind(partial(PlacedTrigger, name), PlacedTrigger(name).trigger, _THREE_EPOCHS) for name in ELSEWHERE
    },
    "stealth": AttackKind(StealthyTrigger, StealthyTrigger().trigger),
}


def make_attack(
    name: str, phrases: Sequence[str] | None = None, rate: float = 0.1, **training: float | str | None
) -> Attack:
    """An attack by name; triggers and training settings that are None are the attack's own.

    Raises:
        InputError: there is no such attack, or a setting makes no sense.
    """
    if name not in ATTACKS:
        raise InputError(f"no attack '{name}': choose one of {', '.join(ATTACKS)}")
    kind = ATTACKS[name]
    changed: dict[str, Any] = {field: value for field, value in training.items() if value is not None}
    trained = replace(kind.training, **changed)
    trigger = replace(kind.trigger, phrases=tuple(phrases or kind.trigger.phrases), reach=trained.words_read)
    return kind.build(trained, trigger, rate)
