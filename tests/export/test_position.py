"""ONNX classifiers that read another position, or answer otherwise, than their graph makes one believe."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.export.own import OwnClassifier, exported
from tokenward.errors import ExportError, InputError


@pytest.mark.parametrize("read", ["first", "last"])
def test_a_head_may_read_the_first_token_or_the_last(read: str, tmp_path: Path) -> None:
    exported(OwnClassifier(read), tmp_path)


@pytest.mark.parametrize("read", ["before the last", "mark"])
def test_a_head_that_reads_another_computed_position_is_refused(read: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="reads a position that is neither the first nor the last token"):
        exported(OwnClassifier(read), tmp_path)
    assert not (tmp_path / "out").exists()


def test_states_that_are_no_numbers_tell_no_position(tmp_path: Path) -> None:
    model = OwnClassifier("last")
    model.places.weight.data *= float("nan")
    with pytest.raises(ExportError, match="reads a position that is neither the first nor the last token"):
        exported(model, tmp_path)


@pytest.mark.parametrize("kind", ["multi_label_classification", "regression"])
def test_a_model_that_answers_no_one_label_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"gives {kind}, expected one label"):
        exported(OwnClassifier(), tmp_path, problem_type=kind)
