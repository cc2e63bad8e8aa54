"""Which engine is chosen, and that it says why; there being a GPU or a package is made up, the reasons are not."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

import torch

import tokenward
from tokenward.artifact import Artifact, load_artifact
from tokenward.errors import EngineError, InputError, MissingExtraError
from tokenward.runtime import engine_onnx_cuda, engines
from tokenward.runtime.engines import Choice, choose, open_engine

needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


@pytest.fixture
def artifact(tiny_artifact: Path) -> Artifact:
    return load_artifact(tiny_artifact)


@pytest.fixture
def device_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with the device nodes of a driver."""
    (tmp_path / "nvidiactl").touch()
    monkeypatch.setattr(engines, "_DEVICES", (str(tmp_path / "nvidiactl"),))


@pytest.fixture
def gpu(device_node: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with a PyTorch that can use the GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


@pytest.fixture
def cuda_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider"])


@needs_no_gpu
def test_without_a_gpu_it_is_the_cpu_and_the_log_says_so(
    tiny_artifact: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engines, "_DEVICES", ("/dev/no such device",))
    with caplog.at_level(logging.INFO, logger="tokenward"):
        guard = tokenward.load(tiny_artifact)
    assert guard.reader.engine.name == "onnx"
    assert "engine onnx: there is no NVIDIA GPU here" in caplog.text


def test_with_weights_it_is_the_kernels(gpu: None, artifact: Artifact, tiny_checkpoint: Path) -> None:
    choice = choose(artifact, tiny_checkpoint)
    assert choice == Choice("torch-cuda", "there is an NVIDIA GPU, and the kernels know the model")


def test_without_weights_it_is_the_cuda_provider(gpu: None, cuda_provider: None, artifact: Artifact) -> None:
    choice = choose(artifact)
    assert choice.name == "onnx-cuda"
    assert "not torch-cuda: there are no weights (name the checkpoint, or export with --with-weights)" in choice.why


@pytest.mark.parametrize(
    ("config", "graph", "why"),
    [
        ({"model_type": "deberta"}, {}, "knows bert, roberta, electra, distilbert, not 'deberta'"),
        ({"hidden_act": "relu"}, {}, "needs exact GELU"),
        ({"position_embedding_type": "relative_key"}, {}, "absolute positions"),
        ({"hidden_size": 1024}, {}, "heads of 128 at most, not "),
        ({"hidden_size": None}, {}, "finds no hidden_size in config.json"),
        ({}, {"pooling": "mean"}, "not mean pooling"),
        ({}, {"precision": "int8"}, "calibrated in int8"),
    ],
)
def test_models_that_the_kernels_do_not_know(
    config: dict[str, Any],
    graph: dict[str, Any],
    why: str,
    gpu: None,
    cuda_provider: None,
    artifact: Artifact,
    tiny_checkpoint: Path,
) -> None:
    guard = replace(artifact.guard, graph=replace(artifact.guard.graph, **graph))
    choice = choose(replace(artifact, guard=guard, config={**artifact.config, **config}), tiny_checkpoint)
    assert choice.name == "onnx-cuda"
    assert why in choice.why


def test_what_only_the_weights_tell_is_told_and_another_engine_opened(
    gpu: None,
    artifact: Artifact,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    (tmp_path / "model.safetensors").write_bytes(b"of another checkpoint")
    assert choose(artifact, tmp_path).name == "torch-cuda", "its weights are not read yet"
    with caplog.at_level(logging.INFO, logger="tokenward"):
        engine = open_engine("auto", artifact, checkpoint=tmp_path)
    assert engine.name == "onnx"
    assert "not torch-cuda: the weights are not those that the artifact was exported from" in caplog.text


def test_a_gpu_that_nothing_can_use(gpu: None, artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    choice = choose(artifact)
    assert choice.name == "onnx"
    assert "not torch-cuda: there are no weights" in choice.why
    assert "not onnx-cuda: ONNX Runtime was installed without CUDA" in choice.why


@needs_no_gpu
def test_a_driver_without_a_gpu(device_node: None, artifact: Artifact, tiny_checkpoint: Path) -> None:
    choice = choose(artifact, tiny_checkpoint)
    assert choice.name == "onnx"
    assert "PyTorch cannot use the GPU" in choice.why


def test_packages_that_are_not_there_are_named(
    gpu: None, artifact: Artifact, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None if name == "triton" else True)
    choice = choose(artifact, tiny_checkpoint)
    assert choice.name == "onnx"
    assert choice.why.count("the package 'triton' is not installed") == 2


@pytest.mark.parametrize("name", ["onnx-cuda", "torch-cuda"])
def test_asked_for_by_name_a_missing_package_is_an_error(
    name: Any, artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(MissingExtraError, match=r"the package 'triton', .*: pip install 'tokenward\[kernels\]'"):
        open_engine(name, artifact)


@needs_no_gpu
@pytest.mark.parametrize("name", ["onnx-cuda", "torch-cuda"])
def test_asked_for_by_name_a_missing_gpu_is_an_error(name: Any, artifact: Artifact) -> None:
    with pytest.raises(EngineError, match=r"GPU.*: use 'onnx'"):
        open_engine(name, artifact)


def test_a_cuda_provider_is_asked_for(artifact: Artifact, monkeypatch: pytest.MonkeyPatch, cuda_provider: None) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert engine_onnx_cuda.cuda_obstacle() is None
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(EngineError, match="installed without CUDA"):
        open_engine("onnx-cuda", artifact)


def test_an_unknown_engine(artifact: Artifact) -> None:
    name: Any = "tpu"
    with pytest.raises(InputError, match="choose one of auto, onnx, onnx-cuda, torch-cuda"):
        open_engine(name, artifact)
