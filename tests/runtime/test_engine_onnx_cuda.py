"""The CUDA provider's engine against the CPU engine: on a GPU natively, else bound to the CPU, in the interpreter."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tokenward.artifact import load_artifact
from tokenward.errors import EngineError
from tokenward.runtime.engine import ALWAYS_SKIP, NEVER_SKIP, Arrays, Batch
from tokenward.runtime.engine_onnx import OnnxEngine
from tokenward.runtime.engine_onnx_cuda import OnnxCudaEngine

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
if not (INTERPRETED or torch.cuda.is_available()):
    pytest.skip("started in the interpreter by tests/kernels/test_interpreter.py", allow_module_level=True)
if not INTERPRETED:
    pytestmark = pytest.mark.gpu

SOME = 3.0  # a gate that some of the texts below reach
SAME = ("scored", "suspect")


def a_batch(lengths: list[int], seed: int = 0) -> Batch:
    draw = np.random.default_rng(seed)
    mask = (np.arange(max(lengths)) < np.array(lengths)[:, None]).astype(np.int64)
    ids = draw.integers(2, 30, mask.shape)
    ids[:, 2] = ids[:, 1]  # a word that comes twice
    return Batch(np.where(mask == 1, ids, 0), mask)


def assert_same(got: Arrays, expected: Arrays) -> None:
    assert got.keys() == expected.keys()
    for name, array in expected.items():
        assert got[name].dtype == array.dtype, name
        if name in SAME:
            np.testing.assert_array_equal(got[name], array, err_msg=name)
        else:
            np.testing.assert_allclose(got[name], array, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", ["tiny_paper_artifact", "tiny_artifact"])
@pytest.mark.parametrize("gate", [NEVER_SKIP, SOME, ALWAYS_SKIP])
def test_same_numbers_as_on_the_cpu(name: str, gate: float, request: pytest.FixtureRequest):
    artifact = load_artifact(request.getfixturevalue(name))
    batch = a_batch([7, 3, 17, 12])
    expected = OnnxEngine(artifact.model_path, threads=1).run(batch, gate)
    assert_same(OnnxCudaEngine(artifact, DEVICE).run(batch, gate), expected)


def test_the_gate_of_the_test_above_skips_some_texts(tiny_paper_artifact: Path):
    scored = OnnxCudaEngine(load_artifact(tiny_paper_artifact), DEVICE).run(a_batch([7, 3, 17, 12]), SOME)["scored"]
    assert 0 < scored.sum() < len(scored)


def test_outputs_are_tensors_on_the_device_without_a_copy(tiny_paper_artifact: Path):
    engine = OnnxCudaEngine(load_artifact(tiny_paper_artifact), DEVICE)
    found = engine._bound(a_batch([5, 4]), NEVER_SKIP)
    assert {tensor.device.type for tensor in found.values()} == {DEVICE}
    again = engine._bound(a_batch([5, 4], seed=1), NEVER_SKIP)
    assert not torch.equal(found["logits"], again["logits"])  # a later run leaves them alone


def test_a_text_alone_and_among_others_gets_the_same_scores(tiny_paper_artifact: Path):
    engine = OnnxCudaEngine(load_artifact(tiny_paper_artifact), DEVICE)
    batch = a_batch([9, 4, 15])
    together = engine.run(batch, NEVER_SKIP)
    for row, n in enumerate([9, 4, 15]):
        alone = engine.run(
            Batch(batch.input_ids[row : row + 1, :n], batch.attention_mask[row : row + 1, :n]), NEVER_SKIP
        )
        np.testing.assert_allclose(alone["anomaly_score"][0], together["anomaly_score"][row], rtol=1e-3, atol=1e-4)
        assert alone["suspect"][0] == together["suspect"][row]


def test_a_batch_that_the_graph_cannot_run_is_one_line(tiny_paper_artifact: Path):
    engine = OnnxCudaEngine(load_artifact(tiny_paper_artifact), DEVICE)
    wrong: Any = np.ones((2, 3), np.float32)
    with pytest.raises(EngineError, match="the graph failed on a batch"):
        engine.run(Batch(wrong, np.ones((2, 3), np.int64)), NEVER_SKIP)
