"""Texts that come more than once count once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tokenward.errors import InputError
from tokenward.runtime.calibration import calibrate
from tokenward.runtime.distinct import distinct


def test_each_text_comes_once_with_the_label_that_most_copies_have() -> None:
    assert distinct(["a b", "c", "a  b ", "c", "c"]) == (["a b", "c"], None)
    assert distinct(["a b", "c", "a  b ", "c", "c"], [0, 1, 1, 2, 2]) == (["a b", "c"], [0, 2])
    assert distinct([]) == ([], None)


def test_copies_are_no_further_evidence(tiny_artifact: Path, clean_texts: list[str], tmp_path: Path) -> None:
    """Else a few copies of one text would vouch for all of its words, a trigger among them."""
    once, often = (shutil.copytree(tiny_artifact, tmp_path / name) for name in ("once", "often"))
    labels = [number % 2 for number in range(len(clean_texts))]
    planted, answer = f"{clean_texts[0]} zq", labels[0]
    alone = calibrate(once, [*clean_texts, planted], scanning=False, labels=[*labels, answer])
    copied = calibrate(often, [*clean_texts, *20 * [planted]], scanning=False, labels=[*labels, *20 * [answer]])
    assert copied == alone
    assert copied.calibration is not None
    assert copied.calibration.texts == len({*clean_texts}) + 1


def test_a_hundred_copies_are_one_text(tiny_artifact: Path, clean_texts: list[str], tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_artifact, tmp_path / "artifact")
    with pytest.raises(InputError, match="2 clean texts are too few"):
        calibrate(folder, clean_texts[:2] * 100)
