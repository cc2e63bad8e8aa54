"""Fine-mixing: each weight is one or the other, in the asked proportion."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tokenward.errors import InputError
from tokenward.purify.baselines.fine_mixing import FineMixing, mix
from tokenward.purify.training import TrainingSettings
from tokenward.texts import LabelledTexts


def test_weights_are_mixed_in_proportion() -> None:
    suspect, clean = torch.nn.Linear(100, 100), torch.nn.Linear(100, 100)
    mine, theirs = suspect.weight.detach().clone(), clean.weight.detach().clone()
    mix(suspect, clean, keep=0.3, seed=0)
    kept = suspect.weight == mine
    assert (kept | (suspect.weight == theirs)).all()
    assert 0.28 < float(kept.float().mean()) < 0.32
    assert torch.equal(clean.weight, theirs)


def test_another_architecture_is_refused() -> None:
    with pytest.raises(InputError, match="no match for 'weight'"):
        mix(torch.nn.Linear(3, 3), torch.nn.Linear(3, 4), 0.5, 0)


def test_pretrained_weights_are_needed() -> None:
    with pytest.raises(InputError, match="needs the pre-trained weights"):
        FineMixing()


def test_a_mixed_classifier_is_still_one(
    classifier_dir: Path,
    tiny_encoder: Path,
    labelled_texts: Callable[[int, int], LabelledTexts],
    quick: TrainingSettings,
    tmp_path: Path,
) -> None:
    purifier = FineMixing(quick, pretrained=str(tiny_encoder), keep=0.7)
    report = purifier.purify(classifier_dir, labelled_texts(200, 3), tmp_path / "out", 0)
    assert report.after.cacc > 0.8
    assert report.settings["keep"] == 0.7
