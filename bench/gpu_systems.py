"""What is timed on a GPU, on one model of random weights: cost does not depend on what they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from ..artifact import Artifact, GraphInfo, GuardFile
from ..checksums import weights_sha256
from ..errors import require
from ..export.forward import export_forward, load_source
from ..kernels import reference
from ..kernels.vocabulary import scored_table
from ..runtime.engine import NEVER_SKIP, Batch
from ..runtime.engine_onnx_cuda import OnnxCudaEngine, cuda_obstacle
from ..runtime.engine_torch import TorchEngine
from .graph_subject import write_graph

SIZES = {
    "BERT-base": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
    "BERT-large": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096},
}
BARE = "bare forward, SDPA"
COMPILED = "bare forward, torch.compile"
GUARDED = "guarded, every gradient"
GATED = "guarded, gate skips 45 %"
ONNX = "guarded, ONNX Runtime CUDA, every gradient"
PLAIN = "published method in PyTorch"
SKIPPED = 45  # per cent of clean texts that the bound lets skip, as measured on SST-2


class Subject:
    """One model in half precision, and every way to run it: host arrays in, host arrays out.

    Args:
        size: settings of a ``BertConfig``.
        folder: where its weights are written for the engine to read.
        device: a GPU, or ``cpu`` in Triton's interpreter.
    """

    def __init__(self, size: dict[str, int], folder: Path, device: str = "cuda") -> None:
        self.size = size
        self._device = torch.device(device)
        self._transformers: Any = require("transformers", "export")
        torch.manual_seed(0)
        config = self._transformers.BertConfig(**size, num_labels=2)
        source = self._transformers.BertForSequenceClassification(config).half()
        source.save_pretrained(folder)
        _write_tokenizer(folder / "tokenizer.json", config.vocab_size)
        self._bare = self._load(folder, "sdpa")
        self._eager = self._load(folder, "eager")
        self._compiled = torch.compile(self._bare)
        layers = tuple(range(size["num_hidden_layers"]))
        graph = GraphInfo("paper", 0, layers, "class", True, True, "fp16", 20, config.max_position_embeddings, (), ())
        guard = GuardFile("bert", "random", weights_sha256(folder), graph, {}, {})
        artifact = Artifact(folder, guard, config.to_dict(), ("0", "1"), "")
        self.engine = TorchEngine(artifact, folder, "fp16", device)
        self.onnx = None if cuda_obstacle() else _onnx_engine(artifact)

    def _load(self, folder: Path, attention: str) -> Any:
        module = self._transformers.BertForSequenceClassification.from_pretrained(
            folder, attn_implementation=attention, dtype=torch.float16
        )
        return module.to(self._device).eval().requires_grad_(False)

    def batch(self, texts: int, tokens: int) -> Batch:
        """Random texts of full length."""
        ids = np.random.default_rng(texts * tokens).integers(1000, 30000, (texts, tokens))
        return Batch(ids, np.ones_like(ids))

    def systems(self, batch: Batch) -> dict[str, Callable[[], object]]:
        """What to time on a batch, by name."""
        received = self.engine.run(batch, NEVER_SKIP)["attention_received"]
        gate = float(np.percentile(reference.bound(received, np.ones(received.shape, np.bool_)), SKIPPED))
        systems: dict[str, Callable[[], object]] = {
            BARE: lambda: self._forward(self._bare, batch),
            COMPILED: lambda: self._forward(self._compiled, batch),
            GUARDED: lambda: self.engine.run(batch, NEVER_SKIP),
            GATED: lambda: self.engine.run(batch, gate),
            PLAIN: lambda: self._published(batch),
        }
        if (onnx := self.onnx) is not None:
            systems[ONNX] = lambda: onnx.run(batch, NEVER_SKIP)
        return systems

    def _forward(self, module: Any, batch: Batch) -> object:
        with torch.no_grad():
            ids, mask = (torch.from_numpy(x).to(self._device) for x in (batch.input_ids, batch.attention_mask))
            return module(input_ids=ids, attention_mask=mask).logits.cpu()

    def _published(self, batch: Batch) -> object:
        """Attention of every layer returned, autograd through all of it; its scoring in Python is left out."""
        ids, mask = (torch.from_numpy(x).to(self._device) for x in (batch.input_ids, batch.attention_mask))
        embedded = self._eager.get_input_embeddings()(ids).requires_grad_()
        output = self._eager(inputs_embeds=embedded, attention_mask=mask, output_attentions=True)
        (gradient,) = torch.autograd.grad(output.logits.max(dim=1).values.sum(), embedded)
        received = torch.stack([layer.detach().mean(1).sum(1) for layer in output.attentions]).mean(0)
        return received.cpu(), gradient.float().norm(dim=-1).cpu()


def _onnx_engine(artifact: Artifact) -> OnnxCudaEngine:
    """The same model as a graph in half precision, on ONNX Runtime's CUDA provider."""
    table = scored_table(Tokenizer.from_file(str(artifact.tokenizer_path)), int(artifact.config["vocab_size"]))
    write_graph(export_forward(load_source(artifact.path)), "paper", "fp16", table, artifact.model_path)
    return OnnxCudaEngine(artifact)


def forward_flops(size: dict[str, int], texts: int, tokens: int) -> float:
    """Multiplications and additions of one forward pass: projections, feed-forward and attention."""
    width, inner, layers = size["hidden_size"], size["intermediate_size"], size["num_hidden_layers"]
    return 2.0 * texts * tokens * layers * (4 * width**2 + 2 * width * inner + 2 * tokens * width)


def guarded_flops(size: dict[str, int], texts: int, tokens: int) -> float:
    """The same with every gradient: the products again for the inputs; attention's five are 2.5 times its forward two.

    The narrowed last layer is counted as if it were whole, so achieved rates are upper limits by one layer.
    """
    attention = 4.0 * texts * tokens**2 * size["num_hidden_layers"] * size["hidden_size"]
    return 2 * forward_flops(size, texts, tokens) + 1.5 * attention


def _write_tokenizer(path: Path, vocabulary: int) -> None:
    words = {f"word{i}": i for i in range(vocabulary)}
    model = {"type": "WordLevel", "vocab": words, "unk_token": "word0"}
    path.write_text(json.dumps({"version": "1.0", "added_tokens": [], "model": model}), encoding="utf-8")
