"""Whether an engine decides as the definitions do: plain PyTorch and the NumPy reference against it, on real texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..artifact import Artifact
from ..errors import EngineError, InputError, require
from ..export.forward import load_source
from ..export.ground_truth import AutogradTruth
from ..kernels import reference
from ..kernels.vocabulary import scored_table
from ..runtime.batches import pad, plan
from ..runtime.engine import Arrays, Batch, Engine
from ..runtime.engine_onnx import OnnxEngine
from ..runtime.guard import tokenizer_of

PERCENTILE = 95.0
_TOKEN_BUDGET = 1024


@dataclass(frozen=True)
class Decision:
    """What is decided on one text: its class, and the position of the suspect where it is suspicious, else None."""

    label: int
    suspect: int | None


@dataclass(frozen=True)
class Difference:
    """A text on which an engine decides otherwise, with the reference's score."""

    text: str
    expected: Decision
    got: Decision
    score: float


@dataclass(frozen=True)
class VerdictReport:
    """All texts, the threshold they were held against, and those that are decided otherwise."""

    texts: int
    suspicious: int
    threshold: float
    differences: tuple[Difference, ...]

    @property
    def agreement(self) -> float:
        """Share of texts decided alike."""
        return 1 - len(self.differences) / self.texts


def compare_verdicts(
    artifact: Artifact,
    engine: Engine,
    checkpoint: Path,
    texts: Sequence[str],
    progress: Callable[[int], None] = lambda _: None,
) -> VerdictReport:
    """Decide on every text twice.

    A text is suspicious where its anomaly score reaches the artifact's threshold for that score; one that is not
    calibrated for it takes the 95th percentile of the reference's scores. The engine runs with that gate.

    Args:
        checkpoint: what the artifact was exported from.
        progress: told after each batch how many texts it had.

    Raises:
        InputError: no texts.
    """
    if not texts:
        raise InputError("no texts to compare on: give a file with some thousand")
    tokenizer, graph = tokenizer_of(artifact), artifact.guard.graph
    source = load_source(checkpoint)
    truth = AutogradTruth(source, graph.gradient_layer)
    table = scored_table(tokenizer.fast, source.vocabulary)
    encodings = tokenizer.encode(texts)
    groups = plan([len(encoding) for encoding in encodings], _TOKEN_BUDGET, engine.cost)
    batches = [pad([encodings[i] for i in group], tokenizer.pad_id) for group in groups]
    expected = []
    for batch in batches:
        expected.append(_by_definition(batch, truth, graph.attention_layers, table))
        progress(len(batch.input_ids))
    threshold = _threshold(artifact, np.concatenate([arrays["anomaly_score"] for arrays in expected]))
    differences, suspicious = [], 0
    for group, batch, arrays in zip(groups, batches, expected, strict=True):
        got = engine.run(batch, threshold)
        progress(len(group))
        for row, index in enumerate(group):
            pair = _decision(arrays, row, threshold), _decision(got, row, threshold)
            suspicious += pair[0].suspect is not None
            if pair[0] != pair[1]:
                differences.append(Difference(texts[index], *pair, float(arrays["anomaly_score"][row])))
    return VerdictReport(len(texts), suspicious, threshold, tuple(differences))


def _by_definition(
    batch: Batch, truth: AutogradTruth, layers: Sequence[int], table: NDArray[np.bool_]
) -> dict[str, NDArray[np.generic]]:
    found = truth({"input_ids": batch.input_ids, "attention_mask": batch.attention_mask})
    mask = batch.attention_mask.astype(np.bool_)
    scored = reference.scored_tokens(batch.input_ids, mask, table)
    received = reference.attention_received(found.probabilities[list(layers)], mask)
    scores = reference.token_scores(received, found.saliency, batch.input_ids, scored)
    anomaly, suspect = reference.anomaly(scores, scored)
    return {
        "logits": found.logits,
        "anomaly_score": anomaly,
        "suspect": suspect,
        "scored": np.ones(len(mask), np.bool_),
    }


def _threshold(artifact: Artifact, scores: NDArray[np.float64]) -> float:
    calibration = artifact.guard.calibration
    if calibration is not None and "anomaly" in calibration.gates:
        return calibration.gates["anomaly"].threshold
    return float(np.percentile(scores, PERCENTILE))


def _decision(arrays: Arrays, row: int, threshold: float) -> Decision:
    raised = bool(arrays["scored"][row]) and not arrays["anomaly_score"][row] < threshold
    return Decision(int(arrays["logits"][row].argmax()), int(arrays["suspect"][row]) if raised else None)


def open_anywhere(
    name: Literal["onnx", "onnx-cuda", "torch-cuda"],
    artifact: Artifact,
    checkpoint: Path,
    precision: Literal["fp32", "fp16", "bf16"],
) -> Engine:
    """Open an engine; one for GPUs on the CPU where there is none, which Triton's interpreter must then be asked for.

    Raises:
        EngineError: there is no GPU, and ``TRITON_INTERPRET=1`` is not set; or as the engine's own.
        InputError: bfloat16 is to be interpreted.
    """
    if name == "onnx":
        return OnnxEngine(artifact.model_path, packed=artifact.guard.graph.packed)
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not require("triton", "kernels").knobs.runtime.interpret:
        raise EngineError(
            f"'{name}' finds no NVIDIA GPU: set TRITON_INTERPRET=1 to have its kernels interpreted, slowly"
        )
    if name == "onnx-cuda":
        from ..runtime.engine_onnx_cuda import OnnxCudaEngine

        return OnnxCudaEngine(artifact, device)
    if device == "cpu" and precision == "bf16":
        raise InputError("Triton's interpreter multiplies the bit patterns of bfloat16: take fp32 or fp16, or a GPU")
    from ..runtime.engine_torch import TorchEngine

    return TorchEngine(artifact, checkpoint, precision, device)
