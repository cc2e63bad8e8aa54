"""The purifiers by name, as the command line and the evaluation offer them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, get_type_hints

from ..errors import InputError
from ..texts import LabelledTexts
from .baselines.clean_finetuning import CleanFineTuning
from .baselines.fine_mixing import FineMixing
from .baselines.fine_pruning import FinePruning
from .baselines.reinit_head import ReinitHead
from .btu import BTU
from .mbtsad import MBTSAD
from .purifier import Purifier

# (class, settings that make it what its name says)
PURIFIERS: dict[str, tuple[type[Purifier], dict[str, Any]]] = {
    "mbtsad": (MBTSAD, {}),
    "ts-ft": (MBTSAD, {"distil": False}),
    "btu": (BTU, {}),
    "fine-tuning": (CleanFineTuning, {}),
    "reinit-head": (ReinitHead, {}),
    "fine-pruning": (FinePruning, {}),
    "fine-mixing": (FineMixing, {}),
}

_PARSERS: dict[type, Any] = {
    str: str,
    int: int,
    float: float,
    bool: lambda text: {"on": True, "true": True, "off": False, "false": False}[text.lower()],
}


def settings_of(name: str) -> dict[str, type]:
    """The settings of a purifier that are a word or a number, with their types.

    Raises:
        InputError: there is no such purifier.
    """
    if name not in PURIFIERS:
        raise InputError(f"no purifier '{name}': choose one of {', '.join(PURIFIERS)}")
    kind, fixed = PURIFIERS[name]
    hints = get_type_hints(kind)
    return {f.name: hints[f.name] for f in fields(kind) if hints[f.name] in _PARSERS and f.name not in fixed}


def make_purifier(
    name: str,
    settings: Mapping[str, str],
    poisoned: LabelledTexts | None = None,
    **training: float | str | None,
) -> Purifier:
    """A purifier by name.

    Args:
        name: one of PURIFIERS.
        settings: its settings, as text; those not given keep their defaults.
        poisoned: the suspect training set, for BTU and no other.
        training: training settings; those that are None are the method's own.

    Raises:
        InputError: no such purifier or setting, or a value that cannot be read or makes no sense.
    """
    known = settings_of(name)
    values: dict[str, Any] = {}
    for key, text in settings.items():
        if key not in known:
            raise InputError(f"{name} has no setting '{key}': it has {', '.join(known) or 'none'}")
        try:
            values[key] = value = _PARSERS[known[key]](text)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(text)
        except (ValueError, KeyError) as error:
            raise InputError(f"setting {key}={text}: give {_expected(known[key])}") from error
    kind, fixed = PURIFIERS[name]
    if poisoned is not None:
        if kind is not BTU:
            raise InputError(f"{name} has no use for the suspect training set: leave it out, or choose btu")
        values["poisoned"] = poisoned
    changed: dict[str, Any] = {field: value for field, value in training.items() if value is not None}
    purifier = kind(**fixed, **values)
    return replace(purifier, training=replace(purifier.training, **changed))


def _expected(kind: type) -> str:
    return {int: "a whole number", float: "a finite number", bool: "on or off"}.get(kind, "text")
