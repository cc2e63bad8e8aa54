"""The attacks by name, as the command line and the evaluation offer them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..purify.training import TrainingSettings
from .addsent import addsent
from .attack import Attack
from .badnets import badnets

# (training settings, trigger words or None for the attack's own, poisoning rate) -> attack
ATTACKS: dict[str, Callable[[TrainingSettings, Sequence[str] | None, float], Attack]] = {
    "badnets": badnets,
    "addsent": addsent,
}
