"""A tiny classifier trained on clean texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tokenward.purify import checkpoint
from tokenward.purify.checkpoint import Classifier, load_classifier
from tokenward.purify.fine_tuning import fine_tune
from tokenward.purify.training import TrainingSettings
from tokenward.texts import LabelledTexts

# For models this small a second thread costs more than it brings, the more so with tests in parallel.
torch.set_num_threads(1)

# One precision, so that every machine computes the same.
QUICK = TrainingSettings(epochs=4, batch_size=32, learning_rate=2e-3, max_length=40, precision="float32")


@pytest.fixture(scope="session", autouse=True)
def cpu() -> Iterator[None]:
    """Train where every machine computes the same, whatever GPU it has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "best_device", lambda: torch.device("cpu"))
        yield


@pytest.fixture(scope="session")
def clean_dir(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_encoder: Path,
    labelled_texts: Callable[[int, int], LabelledTexts],
) -> Path:
    folder = tmp_path_factory.mktemp("clean") / "classifier"
    fine_tune(tiny_encoder, labelled_texts(600, 1), folder, QUICK, 0)
    return folder


@pytest.fixture
def classifier(clean_dir: Path) -> Classifier:
    return load_classifier(clean_dir)
