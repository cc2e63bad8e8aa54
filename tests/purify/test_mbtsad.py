"""MBTSAD's steps: which are taken, and which would be taken in vain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tokenward.purify.mbtsad import MBTSAD
from tokenward.purify.training import TrainingSettings
from tokenward.texts import LabelledTexts


@pytest.mark.parametrize(
    ("settings", "stages", "terms"),
    [
        ({}, ["teacher", "student"], {"classification", "attention", "hidden"}),
        ({"alpha": 0.0}, ["teacher", "student"], {"classification", "hidden"}),
        ({"alpha": 0.0, "beta": 0.0}, ["student"], {"classification"}),
        ({"distil": False}, ["retraining"], {"classification"}),
    ],
)
def test_a_teacher_is_trained_where_it_teaches(
    classifier_dir: Path,
    labelled_texts: Callable[[int, int], LabelledTexts],
    quick: TrainingSettings,
    tmp_path: Path,
    settings: dict[str, Any],
    stages: list[str],
    terms: set[str],
) -> None:
    purifier = MBTSAD(replace(quick, epochs=1), variants=1, **settings)
    report = purifier.purify(classifier_dir, labelled_texts(60, 3), tmp_path / "out", 0)
    assert [losses.stage for losses in report.losses] == stages
    assert report.losses[-1].terms.keys() == terms
