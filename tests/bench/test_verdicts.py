"""Decisions against the definitions: the engine that serves agrees, and one that errs is told on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tokenward.errors import EngineError, InputError

pytest.importorskip("torch")

import torch

from tokenward.artifact import load_artifact
from tokenward.bench.verdicts import compare_verdicts, open_anywhere
from tokenward.runtime.batch_cost import BatchCost
from tokenward.runtime.engine import Arrays, Batch
from tokenward.runtime.engine_onnx import OnnxEngine


class Wrong:
    """Turns the class of the first text of every batch, and names another suspect in the second."""

    name = "wrong"
    cost = BatchCost(4096)  # all texts of the test make one batch

    def __init__(self, path: Path) -> None:
        self._engine = OnnxEngine(path, threads=1)

    def run(self, batch: Batch, gate: float) -> Arrays:
        arrays = {name: array.copy() for name, array in self._engine.run(batch, gate).items()}
        arrays["logits"][0] = arrays["logits"][0, ::-1]
        arrays["anomaly_score"][1], arrays["scored"][1] = np.nan, True
        return arrays


def test_the_engine_that_serves_decides_as_the_definitions_do(
    tiny_paper_artifact: Path, tiny_checkpoint: Path, clean_texts: list[str]
) -> None:
    artifact = load_artifact(tiny_paper_artifact)
    engine = open_anywhere("onnx", artifact, tiny_checkpoint, "fp32")
    told: list[int] = []
    texts = [*clean_texts[:60], *(f"cf {text}" for text in clean_texts[60:80])]
    report = compare_verdicts(artifact, engine, tiny_checkpoint, texts, told.append)
    assert report.differences == ()
    assert report.agreement == 1.0
    assert sum(told) == 2 * report.texts == 160
    assert 0 < report.suspicious < 80
    assert artifact.guard.calibration is not None
    assert report.threshold == artifact.guard.calibration.gates["anomaly"].threshold


def test_an_engine_that_errs_is_told_on(
    tiny_paper_artifact: Path, tiny_checkpoint: Path, clean_texts: list[str]
) -> None:
    """A score that is not a number is never taken for one below the threshold."""
    artifact = load_artifact(tiny_paper_artifact)
    report = compare_verdicts(artifact, Wrong(artifact.model_path), tiny_checkpoint, clean_texts[:20])
    assert len(report.differences) == 2
    turned, raised = report.differences
    assert turned.expected.label != turned.got.label
    assert raised.expected.suspect is None
    assert raised.got.suspect is not None
    assert report.agreement == pytest.approx(0.9)


def test_no_texts(tiny_paper_artifact: Path, tiny_checkpoint: Path) -> None:
    artifact = load_artifact(tiny_paper_artifact)
    with pytest.raises(InputError, match="no texts to compare on"):
        compare_verdicts(artifact, OnnxEngine(artifact.model_path), tiny_checkpoint, [])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("name", ["onnx-cuda", "torch-cuda"])
def test_without_a_gpu_the_interpreter_must_be_asked_for(
    name: str, tiny_paper_artifact: Path, tiny_checkpoint: Path
) -> None:
    pytest.importorskip("triton")
    with pytest.raises(EngineError, match="finds no NVIDIA GPU: set TRITON_INTERPRET=1"):
        open_anywhere(name, load_artifact(tiny_paper_artifact), tiny_checkpoint, "fp32")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_bfloat16_is_not_interpreted(
    monkeypatch: pytest.MonkeyPatch, tiny_paper_artifact: Path, tiny_checkpoint: Path
) -> None:
    pytest.importorskip("triton")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    with pytest.raises(InputError, match="bit patterns of bfloat16: take fp32 or fp16"):
        open_anywhere("torch-cuda", load_artifact(tiny_paper_artifact), tiny_checkpoint, "bf16")
