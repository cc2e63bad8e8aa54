"""Plain fine-tuning: from a model folder and labelled texts to a checkpoint folder."""

from __future__ import annotations

from pathlib import Path

from ..texts import LabelledTexts
from .checkpoint import Classifier, refuse_existing, save_classifier, starting_point
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
        InputError: ``out_dir`` exists, or the labels do not suit the model.
        TrainingError: the loss became NaN; the last finished epoch's checkpoint is kept.
    """
    refuse_existing(out_dir)
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
