"""Tiny random classifiers of every family, traced once, and a vocabulary table for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
import transformers
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from tokenward.export.forward import SourceModel, export_forward, load_source

VOCABULARY = 100
SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[UNK]")

_COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "num_labels": 3,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
}
_RELATIVE = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_biased_input": False}
_MODERN = {"local_attention": 8, "global_attn_every_n_layers": 2, "cls_token_id": 1, "bos_token_id": 1}
_ENDS = {"pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 3}

# name -> configuration; a name is a model type, and a pooling where a family has several.
CONFIGS: dict[str, Callable[[], Any]] = {
    "bert": lambda: transformers.BertConfig(**_COMMON),
    "roberta": lambda: transformers.RobertaConfig(**_COMMON, **_ENDS),
    "xlm-roberta": lambda: transformers.XLMRobertaConfig(**_COMMON, **_ENDS),
    "distilbert": lambda: transformers.DistilBertConfig(
        vocab_size=VOCABULARY,
        dim=32,
        n_layers=2,
        n_heads=4,
        hidden_dim=64,
        num_labels=3,
        max_position_embeddings=64,
        initializer_range=0.2,
    ),
    "albert": lambda: transformers.AlbertConfig(**_COMMON, embedding_size=16),
    "electra": lambda: transformers.ElectraConfig(**_COMMON, embedding_size=16),
    "deberta": lambda: transformers.DebertaConfig(**_COMMON, **_RELATIVE),
    "deberta-v2": lambda: transformers.DebertaV2Config(
        **_COMMON, **_RELATIVE, position_buckets=16, norm_rel_ebd="layer_norm", share_att_key=True
    ),
    "deberta-v2 conv": lambda: transformers.DebertaV2Config(
        **_COMMON, **_RELATIVE, position_buckets=16, conv_kernel_size=3, conv_act="gelu", conv_groups=2
    ),
    "mpnet": lambda: transformers.MPNetConfig(**_COMMON, pad_token_id=1),
    "modernbert": lambda: transformers.ModernBertConfig(**_COMMON, **_MODERN, **{"pad_token_id": 0, "eos_token_id": 2}),
    "modernbert mean": lambda: transformers.ModernBertConfig(
        **_COMMON, **_MODERN, **{"pad_token_id": 0, "eos_token_id": 2, "classifier_pooling": "mean"}
    ),
    "gpt2 last": lambda: transformers.GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=64,
        num_labels=3,
        initializer_range=0.2,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    ),
}


def write_tokenizer(folder: Path, size: int = VOCABULARY) -> None:
    """A word tokenizer whose words are the numerals of the ids, so that texts are easy to make."""
    vocabulary = {word: i for i, word in enumerate((*SPECIAL, *(f"word{i}" for i in range(len(SPECIAL), size))))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    # Without it, transformers would take the tokenizer for one of the model's family.
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))


@dataclass
class Tiny:
    """A tiny model's folder and the model; it is traced when its graph is first asked for, which takes seconds."""

    folder: Path
    source: SourceModel

    @cached_property
    def path(self) -> Path:
        """The traced graph on disk."""
        path = self.folder.with_suffix(".onnx")
        ir.save(export_forward(self.source), path)
        return path

    def graph(self) -> ir.Model:
        """A fresh copy of the traced graph."""
        return ir.load(self.path)

    @property
    def pad_id(self) -> int:
        return self.source.module.config.pad_token_id or 0


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Tiny]:
    root = tmp_path_factory.mktemp("tiny")

    @cache
    def build(name: str) -> Tiny:
        folder = root / name.replace(" ", "-")
        torch.manual_seed(0)
        model = transformers.AutoModelForSequenceClassification.from_config(CONFIGS[name]())
        for parameter in model.parameters():
            if parameter.dim() == 1:  # zero biases and unit scales would hide mistakes in their gradients
                parameter.data.add_(torch.randn_like(parameter) * 0.2)
        model.save_pretrained(folder)
        write_tokenizer(folder)
        return Tiny(folder, load_source(folder))

    return build


@pytest.fixture(scope="session")
def table() -> NDArray[np.bool_]:
    """Which vocabulary entries are scored: about four in five."""
    return np.random.default_rng(0).random(VOCABULARY) < 0.8


@pytest.fixture
def tokenizer_of_size(tmp_path: Path) -> Callable[[int], Path]:
    """A folder with nothing but a tokenizer."""

    def build(size: int) -> Path:
        folder = tmp_path / f"tokenizer{size}"
        folder.mkdir()
        write_tokenizer(folder, size)
        return folder

    return build
