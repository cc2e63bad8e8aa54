"""Weights of a transformers classifier, read from safetensors into the few matrices that the GPU encoder multiplies by.

BERT, RoBERTa, DistilBERT and ELECTRA are one architecture under different names: embeddings, normalisation, layers that
normalise after adding, and a two-layer head on the class token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import EngineError, require
from ..weight_files import weight_files
from .flash_received import WIDEST_HEAD


@dataclass(frozen=True)
class Linear:
    """y = x Wᵀ + b, ``weight`` [out, in]."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Apply it to rows."""
        return torch.nn.functional.linear(x, self.weight, self.bias)

    def split(self, first: int) -> tuple[Linear, Linear]:
        """The map to the first outputs and the map to the others, without a copy."""
        return Linear(self.weight[:first], self.bias[:first]), Linear(self.weight[first:], self.bias[first:])


@dataclass(frozen=True)
class Norm:
    """Layer normalisation."""

    weight: Tensor
    bias: Tensor
    epsilon: float

    def __call__(self, x: Tensor) -> Tensor:
        """Apply it to rows."""
        return torch.nn.functional.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.epsilon)


@dataclass(frozen=True)
class Layer:
    """One layer; ``qkv`` is the three projections in one, [3·hidden, hidden]."""

    qkv: Linear
    mixed: Linear
    attention_norm: Norm
    up: Linear
    down: Linear
    output_norm: Norm


@dataclass(frozen=True)
class Weights:
    """A classifier.

    Attributes:
        words: [vocabulary, embedding].
        positions: [positions, embedding], the embedding of token type 0 added in.
        first_position: row of ``positions`` for the first token.
        skipped_id: id of tokens that do not advance the position (RoBERTa's padding); None where all do.
        projection: from embedding to hidden size, where they differ.
        classes: number of logits.
        logits: from class tokens [B, hidden] in float32 to logits [B, classes], differentiable.
    """

    words: Tensor
    positions: Tensor
    first_position: int
    skipped_id: int | None
    embedding_norm: Norm
    projection: Linear | None
    layers: tuple[Layer, ...]
    heads: int
    classes: int
    logits: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class _Names:
    """What a family calls its parts."""

    layer: str
    query: str
    key: str
    value: str
    mixed: str
    attention_norm: str
    up: str
    down: str
    output_norm: str
    head: tuple[str, str]
    activation: Callable[[Tensor], Tensor]
    act: str = "hidden_act"
    heads: str = "num_attention_heads"
    layers: str = "num_hidden_layers"
    hidden: str = "hidden_size"


def _bert(head: tuple[str, str], activation: Callable[[Tensor], Tensor]) -> _Names:
    return _Names(
        "encoder.layer", "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
        "attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm", head, activation,
    )  # fmt: skip


FAMILIES: Mapping[str, _Names] = {
    "bert": _bert(("bert.pooler.dense", "classifier"), torch.tanh),
    "roberta": _bert(("classifier.dense", "classifier.out_proj"), torch.tanh),
    "electra": _bert(("classifier.dense", "classifier.out_proj"), torch.nn.functional.gelu),
    "distilbert": _Names(
        "transformer.layer", "attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin",
        "sa_layer_norm", "ffn.lin1", "ffn.lin2", "output_layer_norm", ("pre_classifier", "classifier"), torch.relu,
        "activation", "n_heads", "n_layers", "dim",
    ),
}  # fmt: skip


def obstacle(config: Mapping[str, Any]) -> str | None:
    """Why the kernels cannot run a classifier, as far as its ``config.json`` tells; None where they can."""
    family = config.get("model_type", "")
    names = FAMILIES.get(family)
    if names is None:
        return f"the GPU engine knows {', '.join(FAMILIES)}, not '{family}'"
    if config.get(names.act) != "gelu" or config.get("position_embedding_type", "absolute") != "absolute":
        return "the GPU engine needs exact GELU and absolute positions"
    if unsaid := [key for key in (names.hidden, names.heads, names.layers) if not config.get(key)]:
        return f"the GPU engine finds no {unsaid[0]} in config.json"
    width = int(config[names.hidden]) // int(config[names.heads])
    return f"the GPU engine reads heads of {WIDEST_HEAD} at most, not {width}" if width > WIDEST_HEAD else None


def read_weights(folder: Path, config: Mapping[str, Any], dtype: torch.dtype, device: torch.device) -> Weights:
    """Read a classifier; its head stays in float32.

    Args:
        folder: holds the ``.safetensors`` files.
        config: the model's ``config.json``.

    Raises:
        EngineError: the family or its settings are not supported, or a weight is missing, misshapen or there twice.
        InputError: the index of the files is broken.
    """
    if refusal := obstacle(config):
        raise EngineError(f"{refusal}: use the ONNX engine")
    family = config["model_type"]
    names = FAMILIES[family]
    with ExitStack() as files:
        read = _Reader(folder, files, dtype, device)
        embeddings = f"{family}.embeddings"
        positions = read(f"{embeddings}.position_embeddings.weight")
        if f"{embeddings}.token_type_embeddings.weight" in read:
            positions = positions + read(f"{embeddings}.token_type_embeddings.weight")[0]
        epsilon = float(config.get("layer_norm_eps", 1e-12))
        pad = int(config.get("pad_token_id") or 0)
        skips = family == "roberta"
        dense, out = (read.linear(name, torch.float32) for name in names.head)
        projected = f"{family}.embeddings_project.weight" in read
        return Weights(
            words=read(f"{embeddings}.word_embeddings.weight"),
            positions=positions,
            first_position=pad + 1 if skips else 0,
            skipped_id=pad if skips else None,
            embedding_norm=read.norm(f"{embeddings}.LayerNorm", epsilon),
            projection=read.linear(f"{family}.embeddings_project") if projected else None,
            layers=tuple(
                _layer(read, names, f"{family}.{names.layer}.{index}", epsilon) for index in range(config[names.layers])
            ),
            heads=int(config[names.heads]),
            classes=len(out.bias),
            logits=lambda class_tokens: out(names.activation(dense(class_tokens))),
        )


def _layer(read: _Reader, names: _Names, prefix: str, epsilon: float) -> Layer:
    qkv = [read.linear(f"{prefix}.{name}") for name in (names.query, names.key, names.value)]
    return Layer(
        Linear(torch.cat([part.weight for part in qkv]), torch.cat([part.bias for part in qkv])),
        read.linear(f"{prefix}.{names.mixed}"),
        read.norm(f"{prefix}.{names.attention_norm}", epsilon),
        read.linear(f"{prefix}.{names.up}"),
        read.linear(f"{prefix}.{names.down}"),
        read.norm(f"{prefix}.{names.output_norm}", epsilon),
    )


class _Reader:
    """Finds weights by name in the files of a folder."""

    def __init__(self, folder: Path, files: ExitStack, dtype: torch.dtype, device: torch.device) -> None:
        safetensors = require("safetensors", "kernels")
        self._dtype, self._device = dtype, device
        self._files: dict[str, Any] = {}
        for path in weight_files(folder):
            try:
                file = files.enter_context(safetensors.safe_open(path, framework="pt"))
            except Exception as error:  # the library's own type is not public
                raise EngineError(f"{path.name} is not a safetensors file, or is cut short: copy it again") from error
            if twice := self._files.keys() & file.keys():
                raise EngineError(
                    f"the weight '{min(twice)}' is in two files, the second {path.name}: remove what is left over"
                )
            self._files.update(dict.fromkeys(file.keys(), file))

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def __call__(self, name: str, dtype: torch.dtype | None = None) -> Tensor:
        if name not in self._files:
            raise EngineError(f"the checkpoint has no weight '{name}': name the one that was exported")
        tensor: Tensor = self._files[name].get_tensor(name)
        return tensor.to(self._device, dtype or self._dtype)

    def linear(self, name: str, dtype: torch.dtype | None = None) -> Linear:
        return Linear(self(f"{name}.weight", dtype), self(f"{name}.bias", dtype))

    def norm(self, name: str, epsilon: float) -> Norm:
        return Norm(self(f"{name}.weight"), self(f"{name}.bias"), epsilon)
