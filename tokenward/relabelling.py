"""Other class names for an artifact, with all that its calibration knows of the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from .artifact import Artifact
from .errors import InputError

T = TypeVar("T")


def relabelled(artifact: Artifact, labels: Sequence[str]) -> Artifact:
    """The artifact with its classes, in their order, called ``labels``; its files stay as they are.

    Raises:
        InputError: the names are not as many as the classes.
    """
    if len(labels) != len(artifact.labels):
        own = ", ".join(artifact.labels)
        raise InputError(f"{len(labels)} labels given, the artifact has {len(artifact.labels)}: {own}")
    names = dict(zip(artifact.labels, labels, strict=True))

    def renamed(by_label: Mapping[str, T]) -> dict[str, T]:
        return {names[label]: value for label, value in by_label.items() if label in names}

    calibration = artifact.guard.calibration
    if calibration is not None:
        calibration = replace(
            calibration,
            known=renamed(calibration.known),
            natural=renamed(calibration.natural),
            vouched=renamed(calibration.vouched),
            bars=renamed(calibration.bars),
            leeway=renamed(calibration.leeway),
        )
    return replace(artifact, labels=tuple(labels), guard=replace(artifact.guard, calibration=calibration))
