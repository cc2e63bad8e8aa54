"""Chooses and opens the engine that serves an artifact on this machine."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ..artifact import Artifact
from ..errors import ArtifactError, EngineError, InputError, require
from .engine import Engine
from .engine_onnx import OnnxEngine
from .tuning import stored

EngineName = Literal["auto", "onnx", "onnx-cuda", "torch-cuda"]
_log = logging.getLogger(__name__)

# Nodes that drivers make: asking PyTorch would load it into servers that do not need it.
_DEVICES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg")
_TORCH_NEEDS = {"torch": "kernels", "triton": "kernels", "safetensors": "kernels"}
_CUDA_NEEDS = {"onnxruntime": "gpu", "torch": "kernels", "triton": "kernels"}


@dataclass(frozen=True)
class Choice:
    """An engine and why it was chosen, in words."""

    name: EngineName
    why: str


def open_engine(name: EngineName, artifact: Artifact, threads: int = 0, checkpoint: Path | None = None) -> Engine:
    """Open an engine for an artifact.

    Args:
        name: ``auto`` takes what :func:`choose` says, and logs why.
        threads: of the engine on CPU; 0 takes what was tuned, else one per core.
        checkpoint: for ``torch-cuda``: where the weights are, if the artifact does not include them.

    Raises:
        InputError: the name is unknown.
        EngineError: the engine cannot run here.
        MissingExtraError: the engine's package is not installed.
    """
    if name == "auto":
        return _open_chosen(artifact, threads, checkpoint)
    if name == "onnx":
        found = stored(artifact)
        kept = (found.tuned.settings, found.optimized) if found else (None, None)
        return OnnxEngine(artifact.model_path, threads, *kept, packed=artifact.guard.graph.packed)
    if name == "onnx-cuda":
        _require(_CUDA_NEEDS)
        from .engine_onnx_cuda import OnnxCudaEngine

        return OnnxCudaEngine(artifact)
    if name == "torch-cuda":
        _require(_TORCH_NEEDS)
        from .engine_torch import TorchEngine

        return TorchEngine(artifact, checkpoint)
    raise InputError(f"engine {name!r} is unknown: choose one of {', '.join(get_args(EngineName))}")


def _open_chosen(artifact: Artifact, threads: int, checkpoint: Path | None) -> Engine:
    choice = choose(artifact, checkpoint)
    if choice.name == "torch-cuda":
        try:
            engine = open_engine(choice.name, artifact, threads, checkpoint)
        except (ArtifactError, EngineError, InputError) as error:  # what only the weights tell, such as their digest
            choice = _without_torch(str(error))
        else:
            _log.info("engine %s: %s", choice.name, choice.why)
            return engine
    _log.info("engine %s: %s", choice.name, choice.why)
    return open_engine(choice.name, artifact, threads)


def choose(artifact: Artifact, checkpoint: Path | None = None) -> Choice:
    """The fastest engine that can run here; packages are loaded only where there is a GPU for them."""
    if not any(Path(device).exists() for device in _DEVICES):
        return Choice("onnx", "there is no NVIDIA GPU here")
    against_torch = _against_torch(artifact, checkpoint)
    if against_torch is None:
        return Choice("torch-cuda", "there is an NVIDIA GPU, and the kernels know the model")
    return _without_torch(against_torch)


def _without_torch(against_torch: str) -> Choice:
    against_onnx = _against_onnx_cuda()
    if against_onnx is None:
        return Choice("onnx-cuda", f"there is an NVIDIA GPU; not torch-cuda: {against_torch}")
    return Choice("onnx", f"there is an NVIDIA GPU, but not torch-cuda: {against_torch}; not onnx-cuda: {against_onnx}")


def _against_torch(artifact: Artifact, checkpoint: Path | None) -> str | None:
    if missing := _missing(_TORCH_NEEDS):
        return missing
    from ..kernels.weights import obstacle

    graph = artifact.guard.graph
    if graph.pooling != "class":
        return f"the GPU engine needs a classifier that reads its class token, not {graph.pooling} pooling"
    if refusal := obstacle(artifact.config):
        return refusal
    if graph.precision == "int8":
        return "it was calibrated in int8, and the kernels do not compute in it"
    if not any((checkpoint or artifact.path).glob("*.safetensors")):
        return "there are no weights (name the checkpoint, or export with --with-weights)"
    torch: Any = require("torch", "kernels")
    return None if torch.cuda.is_available() else "PyTorch cannot use the GPU"


def _against_onnx_cuda() -> str | None:
    if missing := _missing(_CUDA_NEEDS):
        return missing
    from .engine_onnx_cuda import cuda_obstacle

    return cuda_obstacle()


def _missing(packages: Mapping[str, str]) -> str | None:
    for package in packages:
        if importlib.util.find_spec(package) is None:
            return f"the package '{package}' is not installed"
    return None


def _require(packages: Mapping[str, str]) -> None:
    for package, extra in packages.items():
        require(package, extra)
