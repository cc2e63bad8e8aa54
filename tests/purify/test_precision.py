"""bfloat16 is used where the hardware has it, only for products, and it learns what float32 learns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tokenward.purify.batches import Batch
from tokenward.purify.checkpoint import load_classifier, new_classifier
from tokenward.purify.precision import computing_in, native_precision
from tokenward.purify.prediction import accuracy
from tokenward.purify.training import LossTerms, TrainingError, TrainingSettings, cross_entropy, train
from tokenward.texts import LabelledTexts

Texts = Callable[[int, int], LabelledTexts]
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("gpu", "capabilities", "expected"),
    [
        (None, {"amx_bf16": True}, "bfloat16"),
        (None, {"amx_bf16": False, "avx512_bf16": True}, "float32"),
        (None, {}, "float32"),
        (True, {}, "bfloat16"),
        (False, {"amx_bf16": True}, "float32"),
    ],
)
def test_the_hardware_decides(
    monkeypatch: pytest.MonkeyPatch, gpu: bool | None, capabilities: dict[str, bool], expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu is not None)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: gpu)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert native_precision() == expected
    assert TrainingSettings().precision == expected


@pytest.mark.parametrize(
    ("precision", "single", "double"),
    [("bfloat16", torch.bfloat16, torch.float64), ("float32", torch.float32, torch.float64)],
)
def test_double_precision_is_left_alone(precision: str, single: torch.dtype, double: torch.dtype) -> None:
    matrix = torch.ones(2, 2)
    with computing_in(precision, CPU):  # type: ignore[arg-type]
        assert (matrix @ matrix).dtype == single
        assert (matrix.double() @ matrix.double()).dtype == double


def test_bfloat16_learns_and_keeps_float32_weights(
    tiny_encoder: Path, labelled_texts: Texts, quick: TrainingSettings
) -> None:
    data = labelled_texts(600, 1)
    classifier = new_classifier(tiny_encoder, data.label_names, 0)
    half = replace(quick, precision="bfloat16")
    seen: list[torch.dtype] = []

    def spy(model: torch.nn.Module, batch: Batch) -> LossTerms:
        seen.append(model(**batch.inputs()).logits.dtype)
        return cross_entropy(model, batch)

    train(classifier.model, classifier.encode(data, 40), half, 0, loss=spy)
    assert {*seen} == {torch.bfloat16}
    assert {parameter.dtype for parameter in classifier.model.parameters()} == {torch.float32}
    assert accuracy(classifier, labelled_texts(200, 9)) > 0.95


def test_a_loss_that_is_no_number_stops_bfloat16_too(
    classifier_dir: Path, labelled_texts: Texts, quick: TrainingSettings
) -> None:
    classifier = load_classifier(classifier_dir)
    with torch.no_grad():
        classifier.model.classifier.weight[0, 0] = float("nan")
    texts = classifier.encode(labelled_texts(40, 2), 40)
    with pytest.raises(TrainingError, match="loss is nan at step 1"):
        train(classifier.model, texts, replace(quick, precision="bfloat16"), 0)
