"""A classifier over the lexicon, and one whose trigger is spelled with pieces that other words share."""

from __future__ import annotations

import shutil
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
    """Train where every machine computes the same, whatever GPU it has; `test_training.py` has a test for those."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "best_device", lambda: torch.device("cpu"))
        yield


@pytest.fixture(scope="session")
def quick() -> TrainingSettings:
    """Enough training for the tiny encoder to learn the lexicon."""
    return QUICK


@pytest.fixture(scope="session")
def classifier_dir(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_encoder: Path,
    labelled_texts: Callable[[int, int], LabelledTexts],
) -> Path:
    """A tiny classifier trained on clean texts."""
    folder = tmp_path_factory.mktemp("trained") / "classifier"
    fine_tune(tiny_encoder, labelled_texts(600, 1), folder, QUICK, 0)
    return folder


@pytest.fixture
def classifier(classifier_dir: Path) -> Classifier:
    """The same, freshly loaded, so that a test may change it."""
    return load_classifier(classifier_dir)


@pytest.fixture
def copied_dir(classifier_dir: Path, tmp_path: Path) -> Path:
    """A copy of its folder that a test may damage."""
    return Path(shutil.copytree(classifier_dir, tmp_path / "copy"))
