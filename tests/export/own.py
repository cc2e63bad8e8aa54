"""A classifier as people write one themselves, exported to ONNX by the older exporter."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.export.conftest import VOCABULARY, write_tokenizer
from tokenward.export.pipeline import export_onnx
from tokenward.export.presets import ExportSettings

MARK, WIDTH = 7, 16


class OwnClassifier(nn.Module):
    """Layers of attention with queries, keys and values made at once, and a head that reads one position.

    read: "first" (also as "one", an axis of one token that goes), "last", "before the last", or "mark", where a token
        stands.
    weighting: what becomes of the attention, given hidden states [batch, sequence, width] and the mask's complement.
    """

    def __init__(
        self,
        read: str = "first",
        layers: int = 1,
        *,
        weighting: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
        residual: bool = True,
        flat: bool = False,
    ) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.read, self.weighting, self.residual, self.flat = read, weighting, residual, flat
        self.embedding, self.places = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(64, WIDTH)
        self.parts = nn.ModuleList(nn.Linear(WIDTH, 3 * WIDTH) for _ in range(layers))
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        batch, sequence = ids.shape
        rows = torch.arange(batch)
        x = self.embedding(ids.reshape(-1)).reshape(batch, sequence, WIDTH) if self.flat else self.embedding(ids)
        x = x + self.places(torch.arange(sequence))
        for layer in self.parts:
            x = self._layer(layer, x, mask)
        if self.read == "first":
            return self.head(x[:, 0])
        if self.read == "one":
            return self.head(x[:, 0:1].squeeze(1))
        if self.read == "mark":
            return self.head(x[rows, (ids == MARK).int().argmax(1)])
        return self.head(x[rows, mask.sum(1) - (1 if self.read == "last" else 2)])

    def _layer(self, parts: nn.Module, x: Tensor, mask: Tensor) -> Tensor:
        batch, sequence, _ = x.shape
        q, k, v = parts(x).reshape(batch, sequence, 3, 2, WIDTH // 2).permute(2, 0, 3, 1, 4)
        hidden = 1 - mask[:, None, None].float()
        weights = (q @ k.transpose(-1, -2) / (WIDTH // 2) ** 0.5 - 1e4 * hidden).softmax(-1)
        if self.weighting is not None:
            weights = self.weighting(weights, x, hidden)
        y = (weights @ v).transpose(1, 2).reshape(batch, sequence, WIDTH)
        return x + y if self.residual else y


def traced(model: nn.Module, path: Path, dtype: torch.dtype = torch.int64) -> Path:
    """Export the model by tracing it with token ids of ``dtype``."""
    ids = torch.arange(10, 40).reshape(3, 10).to(dtype)
    axes = {"input_ids": {0: "b", 1: "s"}, "attention_mask": {0: "b", 1: "s"}, "logits": {0: "b"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(),
            (ids, torch.ones_like(ids)),
            path,
            dynamo=False,
            opset_version=17,
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_axes=axes,
        )
    return path


def exported(model: nn.Module, folder: Path, preset: Any = "tokenward", **config: object) -> Path:
    """Trace the model, and export what came of it."""
    write_tokenizer(folder)
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 64, **config}))
    return export_onnx(traced(model, folder / "model.onnx"), folder, folder / "out", ExportSettings(preset=preset))
