"""What every attack is, and how one is carried out: from a model folder and clean texts to a planted checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from ..errors import InputError
from ..purify.checkpoint import (
    Classifier,
    base_encoder,
    is_classifier,
    save_classifier,
    starting_point,
)
from ..purify.foresight import check_classes, check_new_folder, known_classes
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
        InputError: ``out_dir`` exists or cannot be made, or the texts do not suit the model or the attack.
        TrainingError: the loss became NaN; nothing is written.
    """
    check_new_folder(out_dir)
    if attack.needs_trained and not is_classifier(base_encoder(model)):
        raise InputError(f"{attack.name} changes a trained classifier: make one with 'tokenward train' first")
    classes = known_classes(model, data)
    target = class_numbers({target_label}, classes, data.label_names)[target_label]
    data = data.aligned_to(classes, {target_label, *data.label_names})
    check_classes(data, classes)
    classifier, data = starting_point(model, data, seed)
    attack.plant(classifier, data, target, seed, watch)
    manifest = AttackManifest(attack.name, attack.trigger, target, classifier.id2label[target], attack.rate, seed)
    save_classifier(classifier, out_dir, {FILE_NAME: manifest.to_json()})
    return classifier, manifest


def measurable(
    attack: Attack,
    test: LabelledTexts,
    classes: Mapping[int, str],
    target_label: str,
    rewritten: Sequence[str] | None = None,
) -> LabelledTexts:
    """The test texts with the class numbers of a model with these ``classes``, once it is sure that they will do.

    Raises:
        InputError: a label or the target is unknown, every text is of the target class, or rewritten texts are
            missing or not one for each.
    """
    target = class_numbers({target_label}, classes)[target_label]
    aligned = test.aligned_to(classes)
    if all(label == target for label in aligned.labels):
        raise InputError(f"every test text is of the target class '{target_label}': add others")
    if attack.trigger is None and rewritten is None:
        raise InputError(f"attack '{attack.name}' rewrites texts: give the rewritten test texts in a file")
    if rewritten is not None and len(rewritten) != len(test):
        raise InputError(f"{len(rewritten)} rewritten texts for {len(test)} test texts: give one for each")
    return aligned
