"""Plain fine-tuning writes a whole checkpoint after every epoch, and keeps it when training breaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tokenward.errors import InputError
from tokenward.purify.checkpoint import load_classifier
from tokenward.purify.fine_tuning import fine_tune
from tokenward.purify.prediction import predict
from tokenward.purify.training import TrainingError, TrainingSettings
from tokenward.texts import LabelledTexts

Texts = Callable[[int, int], LabelledTexts]


def test_a_checkpoint_after_every_epoch(
    tiny_encoder: Path, labelled_texts: Texts, quick: TrainingSettings, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    seen: list[bool] = []
    fine_tune(
        tiny_encoder, labelled_texts(64, 1), out, replace(quick, epochs=2), 0, lambda *_: seen.append(out.exists())
    )
    assert seen == [False, False, True, True]
    assert load_classifier(out).id2label == {0: "bad", 1: "good"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_last_whole_epoch_is_kept_when_a_step_breaks_the_model(
    tiny_encoder: Path, labelled_texts: Texts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, steps = torch.optim.AdamW.step, []

    def second_breaks(self: Any, *arguments: Any) -> None:
        step(self, *arguments)
        steps.append(self)
        if len(steps) == 2:
            with torch.no_grad():
                self.param_groups[0]["params"][0].fill_(float("nan"))

    monkeypatch.setattr(torch.optim.AdamW, "step", second_breaks)
    one_step_an_epoch = TrainingSettings(epochs=3, batch_size=64, max_length=40)
    with pytest.raises(TrainingError, match=r"epoch 2 left .* the checkpoint of epoch 1 is kept"):
        fine_tune(tiny_encoder, labelled_texts(64, 1), tmp_path / "out", one_step_an_epoch, 0)
    predict(load_classifier(tmp_path / "out"), ["a great film"])


def test_texts_of_one_class_teach_nothing(
    tiny_encoder: Path, classifier_dir: Path, quick: TrainingSettings, tmp_path: Path
) -> None:
    for model in (tiny_encoder, classifier_dir):
        with pytest.raises(InputError, match="of only one class, 'good': give texts of two or more"):
            fine_tune(model, LabelledTexts(("x", "y"), (0, 0), ("good",)), tmp_path / "out", quick, 0)
    assert list(tmp_path.iterdir()) == []


def test_labels_the_model_does_not_know(classifier_dir: Path, quick: TrainingSettings, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="label 'fine' is unknown"):
        fine_tune(classifier_dir, LabelledTexts(("x",), (0,), ("fine",)), tmp_path / "out", quick, 0)
    assert list(tmp_path.iterdir()) == []
