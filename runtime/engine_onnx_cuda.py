"""The ONNX Runtime engine on a GPU: the graph's outputs stay on the device and are scored there.

Arrays cross to the device once per batch and verdict-sized ones come back: outputs are bound to the device, handed to
PyTorch without a copy (DLPack), and turned into scores by this project's kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch.utils.dlpack import from_dlpack

from ..artifact import Artifact
from ..errors import EngineError, require
from ..kernels.segments import Segments
from ..kernels.token_scores import token_scores
from ..kernels.vocabulary import scored_table
from .batch_cost import BatchCost
from .engine import Arrays, Batch
from .session import SessionSettings, feed_names, open_session

_PROVIDER = "CUDAExecutionProvider"
_FROM_GRAPH = ("logits", "class_attention", "class_attention_by_layer", "attention_received", "saliency", "scored")


class OnnxCudaEngine:
    """A session over ``model.onnx`` on one GPU.

    Args:
        artifact: what to serve; precision fp16 suits a GPU.
        device: a GPU, or ``cpu``, where the same code runs on the CPU provider and in Triton's interpreter.

    Raises:
        EngineError: there is no GPU or no CUDA provider, or the graph cannot be loaded.
    """

    name = "onnx-cuda"
    cost = BatchCost(4096)  # a batch that does not fill the GPU takes as long as one that does, nearly

    def __init__(self, artifact: Artifact, device: str = "cuda") -> None:
        self._device = torch.device(device)
        if self._device.type == "cuda" and (obstacle := cuda_obstacle()):
            raise EngineError(f"the engine 'onnx-cuda' cannot run: {obstacle}")
        providers = [(_PROVIDER, {"device_id": self._device.index or 0})] if self._device.type == "cuda" else []
        self._session = open_session(artifact.model_path, SessionSettings(), [*providers, "CPUExecutionProvider"])
        if providers and _PROVIDER not in self._session.get_providers():
            raise EngineError("ONNX Runtime has a CUDA provider that does not start: check the CUDA and cuDNN versions")
        self._inputs = feed_names(self._session)
        self._from_graph = [name for name in _FROM_GRAPH if name in artifact.guard.graph.outputs]
        table = scored_table(Tokenizer.from_file(str(artifact.tokenizer_path)), int(artifact.config["vocab_size"]))
        self._table = torch.from_numpy(table).to(self._device)
        self._lock = Lock()

    def run(self, batch: Batch, gate: float) -> Arrays:
        """Run one batch; see :class:`Engine`."""
        try:
            with self._lock, torch.no_grad():
                found = self._bound(batch, gate)
                return {name: tensor.cpu().numpy() for name, tensor in self._scored(batch, found).items()}
        except EngineError:
            raise
        except Exception as error:  # the message names tensors and paths of the machine, which callers must not see
            raise EngineError("the graph failed on a batch: run 'tokenward inspect' on the artifact") from error

    def _bound(self, batch: Batch, gate: float) -> dict[str, torch.Tensor]:
        """Run the graph; its outputs as tensors that share its memory."""
        ort: Any = require("onnxruntime", "gpu")
        binding = self._session.io_binding()
        feed: dict[str, NDArray[Any]] = {
            "input_ids": batch.input_ids,
            "attention_mask": batch.attention_mask,
            "token_type_ids": np.zeros_like(batch.input_ids),
            "gate": np.array(gate, dtype=np.float32),
        }
        for name in self._inputs & feed.keys():
            # Not bind_cpu_input: it does not know inputs that have a default.
            value = ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(feed[name]))
            binding.bind_ortvalue_input(name, value)
        for name in self._from_graph:
            binding.bind_output(name, self._device.type, self._device.index or 0)
        self._session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        found = dict(zip(self._from_graph, map(from_dlpack, binding.get_outputs()), strict=True))
        return {**found, "scored": found["scored"].view(torch.bool)}  # ONNX Runtime hands truth values over as bytes

    def _scored(self, batch: Batch, found: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Add the scores of the texts whose gradient was computed; the norm of a saliency is the saliency."""
        rows, width = batch.input_ids.shape
        chosen = found["scored"].nonzero().flatten()
        outputs = {
            **found,
            "token_scores": torch.zeros_like(found["saliency"]),
            "anomaly_score": found["saliency"].new_zeros(rows),
            "suspect": torch.full((rows,), -1, dtype=torch.int64, device=self._device),
        }
        if len(chosen):
            picked = chosen.cpu().numpy()
            lengths: Sequence[int] = batch.attention_mask[picked].sum(axis=1).tolist()
            ids = torch.from_numpy(batch.input_ids[picked]).to(self._device)
            salient, received = (found[n][chosen].flatten() for n in ("saliency", "attention_received"))
            texts = Segments.padded(lengths, width, self._device)
            scores = token_scores(salient[:, None], received, ids.flatten(), self._table, texts)
            outputs["token_scores"][chosen] = scores.scores.view(-1, width)
            outputs["anomaly_score"][chosen] = scores.anomaly
            outputs["suspect"][chosen] = scores.suspect
        return outputs


def cuda_obstacle() -> str | None:
    """Why ONNX Runtime cannot use a GPU here, with what to do; None where it can."""
    ort = require("onnxruntime", "gpu")
    if not torch.cuda.is_available():
        return "there is no NVIDIA GPU that PyTorch can use: use 'onnx'"
    if _PROVIDER not in ort.get_available_providers():
        return "ONNX Runtime was installed without CUDA: uninstall onnxruntime, then pip install 'tokenward[gpu]'"
    return None
