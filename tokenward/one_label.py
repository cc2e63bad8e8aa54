"""Whether a model's answer is one label: no other answer can be guarded, so no other model need be trained."""

from __future__ import annotations

from .errors import InputError


def check_one_label(kind: object, classes: int | None, source: object) -> None:
    """Refuse a model whose answer is not one label.

    Args:
        kind: ``problem_type`` in its ``config.json``, None where it does not say.
        classes: how many it has; None where a head is yet to be put on it.
        source: what the message calls the model.

    Raises:
        InputError: it gives a number, or several labels at once.
    """
    if kind in ("regression", "multi_label_classification"):
        raise InputError(
            f"'{source}' gives {kind}, expected one label out of several classes (problem_type in config.json)"
        )
    if classes is not None and classes < 2:
        raise InputError(f"'{source}' gives one number, expected one label out of several classes")
