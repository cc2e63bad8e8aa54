"""The kernels' weights are those that transformers, and so the exported graph, reads from a folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
import transformers
from safetensors.torch import load_file, save_file

from tokenward.errors import EngineError
from tokenward.kernels.weights import Weights, read_weights

CONFIG = transformers.BertConfig(
    vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    transformers.BertForSequenceClassification(CONFIG).save_pretrained(tmp_path)
    return tmp_path


def read(folder: Path) -> Weights:
    return read_weights(folder, CONFIG.to_dict(), torch.float32, torch.device("cpu"))


def test_a_file_left_over_does_not_replace_the_weights(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({name: value + 1 for name, value in weights.items()}, folder / "old.safetensors")
    assert torch.equal(read(folder).words, weights["bert.embeddings.word_embeddings.weight"])


def test_a_weight_that_occurs_twice_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "a.safetensors")
    assert len(read(folder).layers) == 1, "files under other names are read"
    shutil.copy(folder / "a.safetensors", folder / "b.safetensors")
    with pytest.raises(EngineError, match=r"in two files, the second b\.safetensors: remove what is left over"):
        read(folder)
