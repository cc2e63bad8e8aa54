"""Plain fine-tuning: from a model folder and labelled texts to a checkpoint folder."""

from __future__ import annotations

from pathlib import Path

from ..texts import LabelledTexts
from .checkpoint import Classifier, save_classifier, starting_point
from .foresight import check_classes, check_new_folder, known_classes
from .training import TrainingSettings, Watch, train


def fine_tune(
    model: str | Path,
    data: LabelledTexts,
    out_dir: Path,
    settings: TrainingSettings,
    seed: int,
    watch: Watch | None = None,
) -> Classifier:
    """Train a copy of ``model`` on ``data``; ``out_dir`` holds the checkpoint of the last finished epoch.

    Raises:
        InputError: ``out_dir`` exists or cannot be made, or the labels do not suit the model or are but one.
        TrainingError: the loss became NaN; the last finished epoch's checkpoint is kept.
    """
    check_new_folder(out_dir)
    check_classes(data, known_classes(model, data))
    classifier, data = starting_point(model, data, seed)
    train(
        classifier.model,
        classifier.encode(data, settings.max_length),
        settings,
        seed,
        watch=watch,
        after_epoch=lambda epoch: save_classifier(classifier, out_dir, replace=epoch > 1),
    )
    return classifier
