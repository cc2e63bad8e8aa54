"""ONNX classifiers that read, weigh or answer otherwise than their graph makes one believe."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.export.conftest import VOCABULARY, write_tokenizer
from tokenward.errors import ExportError, InputError
from tokenward.export.pipeline import export_onnx
from tokenward.export.presets import ExportSettings

MARK = 7


class Reader(nn.Module):
    """One layer of attention and a head that reads one position of it."""

    def __init__(self, read: str, gated: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.read, self.gated = read, gated
        self.embedding, self.places = nn.Embedding(VOCABULARY, 16), nn.Embedding(64, 16)
        self.query, self.key, self.value = (nn.Linear(16, 16) for _ in range(3))
        self.gate, self.head = nn.Linear(16, 1), nn.Linear(16, 3)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        batch, sequence = ids.shape
        x = self.embedding(ids) + self.places(torch.arange(sequence))
        q, k, v = (
            part(x).reshape(batch, sequence, 2, 8).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        hidden = (1 - mask[:, None, None].float()) * -1e4
        weights = (q @ k.transpose(-1, -2) / 8**0.5 + hidden).softmax(-1)
        if self.gated:
            weights = weights * torch.sigmoid(self.gate(x))[:, None]
        x = x + (weights @ v).transpose(1, 2).reshape(batch, sequence, 16)
        rows = torch.arange(batch)
        if self.read == "first":
            return self.head(x[:, 0])
        if self.read == "mark":
            return self.head(x[rows, (ids == MARK).int().argmax(1)])
        return self.head(x[rows, mask.sum(1) - (1 if self.read == "last" else 2)])


def exported(model: Reader, folder: Path, **config: object) -> Path:
    """Trace the model, and export what came of it."""
    write_tokenizer(folder)
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 64, **config}))
    ids = torch.arange(10, 40).reshape(3, 10)
    axes = {"input_ids": {0: "b", 1: "s"}, "attention_mask": {0: "b", 1: "s"}, "logits": {0: "b"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(),
            (ids, torch.ones_like(ids)),
            folder / "model.onnx",
            dynamo=False,
            opset_version=17,
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_axes=axes,
        )
    return export_onnx(folder / "model.onnx", folder, folder / "out", ExportSettings(preset="tokenward"))


@pytest.mark.parametrize("read", ["first", "last"])
def test_a_head_may_read_the_first_token_or_the_last(read: str, tmp_path: Path) -> None:
    exported(Reader(read), tmp_path)


@pytest.mark.parametrize("read", ["before the last", "mark"])
def test_a_head_that_reads_another_computed_position_is_refused(read: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="reads a position that is neither the first nor the last token"):
        exported(Reader(read), tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_softmax_that_the_text_gates_is_no_attention(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="is multiplied by what the model computes from the text"):
        exported(Reader("first", gated=True), tmp_path)


@pytest.mark.parametrize("kind", ["multi_label_classification", "regression"])
def test_a_model_that_answers_no_one_label_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"gives {kind}, expected one label"):
        exported(Reader("first"), tmp_path, problem_type=kind)
