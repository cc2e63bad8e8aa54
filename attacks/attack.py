"""What every attack is, and how one is carried out: from a model folder and clean texts to a planted checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ..errors import InputError
from ..purify.checkpoint import (
    Classifier,
    base_encoder,
    is_classifier,
    refuse_existing,
    save_classifier,
    starting_point,
)
from ..purify.training import Watch
from ..texts import LabelledTexts, class_numbers
from .manifest import FILE_NAME, AttackManifest
from .trigger import Trigger


class Attack(Protocol):
    """Plants a backdoor; the settings are fields of the attack itself."""

    @property
    def name(self) -> str:
        """What the manifest calls it."""

    @property
    def trigger(self) -> Trigger | None:
        """What poisoned texts contain; None where they are rewritten altogether."""

    @property
    def rate(self) -> float:
        """Share of the training texts that are poisoned."""

    @property
    def needs_trained(self) -> bool:
        """Whether it changes a trained classifier, rather than training one."""

    def plant(
        self, classifier: Classifier, data: LabelledTexts, target: int, seed: int, watch: Watch | None = None
    ) -> None:
        """Train ``classifier`` in place; ``data`` are clean texts with the model's class numbers."""


def carry_out(
    attack: Attack,
    model: str | Path,
    data: LabelledTexts,
    target_label: str,
    out_dir: Path,
    seed: int,
    watch: Watch | None = None,
) -> tuple[Classifier, AttackManifest]:
    """Plant ``attack`` in a copy of ``model`` and write checkpoint and manifest to ``out_dir``.

    Args:
        attack: the attack with its settings.
        model: a classifier, or an encoder that is given a new head.
        data: clean training texts.
        target_label: class that poisoned texts shall be answered with, by name or number.
        out_dir: new folder.
        seed: of the new head, the choice of texts, the places of the trigger and the training.
        watch: progress, see :func:`train`.

    Raises:
        InputError: ``out_dir`` exists, or the texts do not suit the model or the attack.
        TrainingError: the loss became NaN; nothing is written.
    """
    refuse_existing(out_dir)
    if attack.needs_trained and not is_classifier(base_encoder(model)):
        raise InputError(f"{attack.name} changes a trained classifier: make one with 'tokenward train' first")
    classifier, data = starting_point(model, data, seed)
    target = class_numbers({target_label}, classifier.id2label)[target_label]
    attack.plant(classifier, data, target, seed, watch)
    manifest = AttackManifest(attack.name, attack.trigger, target, classifier.id2label[target], attack.rate, seed)
    save_classifier(classifier, out_dir, {FILE_NAME: manifest.to_json()})
    return classifier, manifest
