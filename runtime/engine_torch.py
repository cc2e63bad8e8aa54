"""The PyTorch engine for GPUs: the guarded graph's numbers from fused kernels, with no S×S matrix stored anywhere.

It serves the same artifact as the ONNX engine, from the checkpoint's own weights. Texts lie end to end, so padding
costs nothing; a batch is cut into chunks, so memory is bounded whatever its size; small chunks are CUDA graphs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ..artifact import Artifact
from ..checksums import weights_sha256
from ..errors import ArtifactError, EngineError
from ..kernels import reference
from ..kernels.capture import Recordings, padded_shape
from ..kernels.encoder import Choice, Encoder
from ..kernels.guarded import Found, Guarded, Inputs
from ..kernels.segments import Segments
from ..kernels.vocabulary import scored_table
from ..kernels.weights import read_weights
from .batch_cost import BatchCost
from .engine import ALWAYS_SKIP, BY_LAYER, NEVER_SKIP, Arrays, Batch

Ids: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]
Outputs: TypeAlias = dict[str, NDArray[Any]]

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
CHUNK = 4096  # tokens that fill a GPU; a backward pass keeps 180 kB of each in BERT-base in fp16, 0.75 GB in all
RECORDED = 4096  # padded tokens up to which a chunk is a CUDA graph
SLACK = 1e-4  # rounding must not push a score over a bound that exact arithmetic puts above it


class TorchEngine:
    """A classifier of the BERT, RoBERTa, DistilBERT or ELECTRA family on one GPU.

    Args:
        artifact: what to serve; it says how deep the gradient goes and which attention is read.
        checkpoint: folder of the safetensors files it was exported from; None where the artifact includes them.
        precision: of weights and activations; logits and scores are summed in float32 in each.
        device: a GPU, or ``cpu`` in Triton's interpreter.

    Raises:
        ArtifactError: there are no weights, or not those that the artifact was exported from.
        EngineError: there is no GPU, or the kernels do not know the model.
    """

    name = "torch-cuda"
    cost = BatchCost(CHUNK)  # a batch that does not fill the GPU takes as long as one that does, nearly

    def __init__(
        self,
        artifact: Artifact,
        checkpoint: Path | None = None,
        precision: Literal["fp32", "fp16", "bf16"] = "fp16",
        device: str = "cuda",
    ) -> None:
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise EngineError("the engine 'torch-cuda' needs an NVIDIA GPU and there is none here: use 'onnx'")
        graph = artifact.guard.graph
        if graph.pooling != "class":
            raise EngineError("the engine 'torch-cuda' needs a classifier that reads its class token: use 'onnx'")
        self._device = torch.device(device)
        weights = read_weights(_checked(artifact, checkpoint), artifact.config, DTYPES[precision], self._device)
        self._table = scored_table(Tokenizer.from_file(str(artifact.tokenizer_path)), len(weights.words))
        table = torch.from_numpy(self._table).to(self._device)
        self._by_layer = BY_LAYER in graph.outputs
        self._model = Guarded(Encoder(weights), table, graph.gradient_layer, graph.attention_layers, self._by_layer)
        self._weights = weights
        self._gated = graph.gated
        # That preset's answers do not depend on the attention received, so the gate leaves it out as well.
        self._attention_gated = graph.gated and graph.preset == "tokenward"
        self._max_tokens = min(graph.max_tokens, len(weights.positions) - weights.first_position)
        self._recordings = Recordings(self._model, not self._attention_gated, self._device)
        self._lock = Lock()

    def run(self, batch: Batch, gate: float) -> Arrays:
        """Run one batch; see :class:`Engine`."""
        mask = batch.attention_mask.astype(np.bool_)
        self._check(batch.input_ids, mask)
        outputs = _blank(mask, self._weights.classes)
        if self._by_layer:
            outputs[BY_LAYER] = np.zeros((len(mask), len(self._weights.layers), mask.shape[1]), np.float32)
        try:
            with self._lock, torch.no_grad():
                for chunk, width in _chunks(mask.sum(axis=1)):
                    part = {name: array[chunk] for name, array in outputs.items()}
                    self._read(batch.input_ids[chunk, :width], mask[chunk, :width], gate, part)
        except torch.cuda.OutOfMemoryError as error:
            raise EngineError("the GPU is out of memory: stop what else runs on it, or use 'onnx'") from error
        return outputs

    def _check(self, ids: Ids, mask: Bools) -> None:
        """Whatever would otherwise read outside a table on the device."""
        longest = int(mask.sum(axis=1).max())
        if longest > self._max_tokens:
            raise EngineError(f"a text has {longest} tokens but the model reads {self._max_tokens}: truncate it")
        if (mask[:, 1:] > mask[:, :-1]).any() or not mask[:, 0].all():
            raise EngineError("every text needs a token, and padding on the right alone: pad the batch again")
        if ids.min() < 0 or ids.max() >= len(self._table):
            raise EngineError(f"a token id is outside the vocabulary of {len(self._table)}: use the model's tokenizer")

    def _read(self, ids: Ids, mask: Bools, gate: float, out: Outputs) -> None:
        """Run one chunk and write its outputs."""
        scored = reference.scored_tokens(ids, mask, self._table)
        chosen = self._chosen_beforehand(mask, scored, gate)

        def by_bound(received: NDArray[Any]) -> Bools:
            per_token = np.zeros(mask.shape)
            per_token[mask] = received
            return _reaches(reference.bound(per_token, scored), gate)

        small = math.prod(padded_shape(*mask.shape)) <= RECORDED
        run = self._small if small else self._large
        found, chosen = run(ids, mask, chosen, by_bound)
        width = mask.shape[1]
        out["logits"][:] = found["logits"]
        out["scored"][:] = chosen
        out["class_attention"][:, :width][mask] = found["class_attention"][:, -1]
        if self._by_layer:
            out[BY_LAYER].swapaxes(1, 2)[:, :width][mask] = found["class_attention"]
        out["attention_received"][:, :width][mask] = found["attention_received"]
        if self._attention_gated:
            out["attention_received"][~chosen] = 0
        if chosen.any():
            rows = mask & chosen[:, None]
            for name in ("saliency", "token_scores"):
                out[name][:, :width][rows] = found[name]
            for name in ("anomaly_score", "suspect"):
                out[name][chosen] = found[name]

    def _chosen_beforehand(self, mask: Bools, scored: Bools, gate: float) -> Bools | None:
        """Texts whose gradient is wanted; None where their attention must tell."""
        if not self._gated or gate == NEVER_SKIP:
            return np.ones(len(mask), np.bool_)
        if gate == ALWAYS_SKIP:
            return np.zeros(len(mask), np.bool_)
        if self._attention_gated:
            return _reaches(mask.sum(axis=1) * scored.sum(axis=1), gate)
        return None

    def _large(
        self, ids: Ids, mask: Bools, chosen: Bools | None, by_bound: Callable[[NDArray[Any]], Bools]
    ) -> tuple[Outputs, Bools]:
        """Texts end to end; what the forward pass keeps is used for the chosen ones."""
        lengths = mask.sum(axis=1).tolist()
        tokens, places = (torch.from_numpy(x[mask]).to(self._device) for x in (ids, self._positions(ids)))
        inputs = Inputs(tokens, places, Segments.packed(lengths, self._device))
        if chosen is not None and not chosen.any():
            return _on_host(self._model.without_gradient(inputs, not self._attention_gated)), chosen
        if chosen is not None and chosen.all():
            return _on_host(self._model.with_gradient(inputs)), chosen
        picked: list[Bools] = [] if chosen is None else [chosen]

        def choose(received: torch.Tensor) -> Choice | None:
            if not picked:
                picked.append(by_bound(received.cpu().numpy()))
            index = np.flatnonzero(picked[0]).tolist()
            return Choice.some(lengths, index, self._device) if index else None

        return _on_host(self._model.with_gradient_of(inputs, choose)), picked[0]

    def _small(
        self, ids: Ids, mask: Bools, chosen: Bools | None, by_bound: Callable[[NDArray[Any]], Bools]
    ) -> tuple[Outputs, Bools]:
        """Recorded shapes, with the gradient of every text where any is wanted: it costs less than to choose.

        On an H100, 64 texts of 32 tokens take BERT-base 3.6 ms so; chosen by their attention and run apart, 22.7 ms.
        """
        if chosen is not None and not chosen.any():
            return self._recorded(ids, mask, gradient=False), chosen
        found = self._recorded(ids, mask, gradient=True)
        if chosen is None:
            chosen = by_bound(found["attention_received"])
        rows = np.repeat(chosen, mask.sum(axis=1))
        for names, kept in ((("saliency", "token_scores"), rows), (("anomaly_score", "suspect"), chosen)):
            found |= {name: found[name][kept] for name in names}
        return found, chosen

    def _recorded(self, ids: Ids, mask: Bools, gradient: bool) -> Outputs:
        return _on_host(self._recordings.run(ids, self._positions(ids), mask, gradient))

    def _positions(self, ids: Ids) -> Ids:
        """Position of every token, as the model family counts them."""
        first, skipped = self._weights.first_position, self._weights.skipped_id
        if skipped is None:
            return np.broadcast_to(np.arange(ids.shape[1]) + first, ids.shape)
        counted = ids != skipped
        return np.where(counted, counted.cumsum(axis=1) + first - 1, skipped)


def _checked(artifact: Artifact, checkpoint: Path | None) -> Path:
    """The folder of the weights, found to be those that the artifact was exported from."""
    folder = checkpoint or artifact.path
    if not any(folder.glob("*.safetensors")):
        raise ArtifactError(
            "the engine 'torch-cuda' finds no safetensors weights: name the checkpoint folder that was exported"
        )
    if weights_sha256(folder) != artifact.guard.checkpoint_sha256:
        raise ArtifactError("the weights are not those that the artifact was exported from: name the right checkpoint")
    return folder


def _blank(mask: Bools, classes: int) -> Outputs:
    """The outputs, as they stay where nothing is computed."""
    per_token = ("class_attention", "attention_received", "saliency", "token_scores")
    return {
        "logits": np.zeros((len(mask), classes), np.float32),
        **{name: np.zeros(mask.shape, np.float32) for name in per_token},
        "anomaly_score": np.zeros(len(mask), np.float32),
        "suspect": np.full(len(mask), -1, np.int64),
        "scored": np.zeros(len(mask), np.bool_),
    }


def _chunks(lengths: NDArray[Any]) -> Iterator[tuple[slice, int]]:
    """Cut texts, in their order, into chunks of at most ``CHUNK`` tokens; yield each with its longest text."""
    start = 0
    while start < len(lengths):
        fitting = int(np.searchsorted(np.cumsum(lengths[start:]), CHUNK, side="right"))
        chunk = slice(start, start + max(fitting, 1))
        yield chunk, int(lengths[chunk].max())
        start = chunk.stop


def _reaches(bound: NDArray[Any], gate: float) -> Bools:
    """Texts whose score may reach the gate; a bound that is not a number proves nothing."""
    return np.asarray(~(bound * (1 + SLACK) < gate))


def _on_host(found: Found) -> Outputs:
    arrays = {"logits": found.logits, "class_attention": found.class_attention, "attention_received": found.received}
    if found.scores is not None:
        arrays |= {
            "saliency": found.scores.saliency, "token_scores": found.scores.scores,
            "anomaly_score": found.scores.anomaly, "suspect": found.scores.suspect,
        }  # fmt: skip
    return {name: tensor.cpu().numpy() for name, tensor in arrays.items()}
