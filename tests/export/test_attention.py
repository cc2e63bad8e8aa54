from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.export.own import WIDTH, OwnClassifier, exported, traced
from tokenward.errors import ExportError
from tokenward.export.discovery import Hints, Layout, discover
from tokenward.export.onnx_source import read_onnx

Weighting = Callable[[Tensor, Tensor, Tensor], Tensor]


def layout_of(model: OwnClassifier, folder: Path) -> Layout:
    return discover(read_onnx(traced(model, folder / "model.onnx"), Hints()).graph)


def masked(weights: Tensor, x: Tensor, hidden: Tensor) -> Tensor:
    return weights * (1 - hidden)


def kept_from_zero(weights: Tensor, x: Tensor, hidden: Tensor) -> Tensor:
    return weights + 1e-9


def summed_to_one(weights: Tensor, x: Tensor, hidden: Tensor) -> Tensor:
    weights = weights * (1 - hidden)
    return weights / (weights.sum(-1, keepdim=True) + 1e-13)


@pytest.mark.parametrize("weighting", [masked, kept_from_zero, summed_to_one])
def test_attention_may_be_masked_and_summed_to_one_again(weighting: Weighting, tmp_path: Path) -> None:
    found = layout_of(OwnClassifier(layers=2, weighting=weighting), tmp_path)
    assert [layer.heads for layer in found.attention] == [2, 2]
    assert all(layer.weights is not layer.softmax.outputs[0] for layer in found.attention)
    for preset in ("paper", "late"):
        (tmp_path / preset).mkdir()
        exported(OwnClassifier(layers=2, weighting=weighting), tmp_path / preset, preset)


def gated(weights: Tensor, x: Tensor, hidden: Tensor) -> Tensor:
    return weights * torch.sigmoid(x[..., :1])[:, None]


def shifted(weights: Tensor, x: Tensor, hidden: Tensor) -> Tensor:
    return weights + x.sum(-1)[:, None, None]


def bent(weights: Tensor, x: Tensor, hidden: Tensor) -> Tensor:
    return weights.relu().tanh()


@pytest.mark.parametrize(
    ("weighting", "message"),
    [
        (gated, r"is changed by what the model computes from the text \(node '/Mul"),
        (shifted, r"is changed by what the model computes from the text \(node '/Add"),
        (bent, r"looks like attention, but goes into Relu \('/Relu"),
    ],
)
def test_a_softmax_that_is_changed_otherwise_is_no_attention(
    weighting: Weighting, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=message):
        exported(OwnClassifier(weighting=weighting), tmp_path)
    assert not (tmp_path / "out").exists()


def halved(weights: Tensor, x: Tensor, hidden: Tensor) -> Tensor:
    return weights / 2


def test_attention_that_does_not_sum_to_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"attention of layer 0 sums to 0\.5"):
        exported(OwnClassifier(weighting=halved), tmp_path)


@pytest.mark.parametrize("residual", [True, False])
def test_a_layer_reads_what_its_queries_and_keys_are_made_of(residual: bool, tmp_path: Path) -> None:
    found = layout_of(OwnClassifier(layers=3, residual=residual), tmp_path)
    assert [layer.input.shape[2] for layer in found.attention] == [WIDTH] * 3
    for layer in found.attention[1:]:
        assert layer.input is not found.embedding


def test_tokens_may_be_looked_up_in_one_row(tmp_path: Path) -> None:
    found = layout_of(OwnClassifier(flat=True), tmp_path)
    assert str(found.embedding.shape) == f"[batch,sequence,{WIDTH}]"
    for preset in ("paper", "late"):
        (tmp_path / preset).mkdir()
        exported(OwnClassifier(flat=True, layers=2), tmp_path / preset, preset)
