"""The guard over a real exported graph in a real ONNX Runtime session."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tokenward
from tokenward.artifact import load_artifact, rewriting, write_guard
from tokenward.errors import ArtifactError, EngineError, InputError
from tokenward.runtime.calibration import calibrate
from tokenward.runtime.engine import ALWAYS_SKIP, NEVER_SKIP
from tokenward.runtime.guard import GuardOptions


def triggered(texts: list[str]) -> list[str]:
    return [f"{a} cf {b}" for a, _, b in (text.partition(" ") for text in texts)]


def test_a_verdict_has_its_score_and_threshold_on_one_scale(tiny_artifact: Path, clean_texts: list[str]) -> None:
    guard = tokenward.load(tiny_artifact, options=GuardOptions(gates=("class_token",)))
    assert guard.judge is not None
    verdicts = guard.classify(clean_texts, "monitor")
    raised = [guard.judge.weigh(reading)[2] >= 0 for reading in guard.reader.read(clean_texts, math.inf)]
    assert [v.anomaly_score >= v.threshold for v in verdicts] == raised
    assert 0 < sum(raised) < len(raised)


def test_the_planted_trigger_no_longer_decides(tiny_artifact: Path, clean_texts: list[str]) -> None:
    guard = tokenward.load(tiny_artifact)
    bad = clean_texts[::2]
    clean = [v.label for v in guard.classify(bad, mode="off")]
    undefended = [v.label for v in guard.classify(triggered(bad), mode="off")]
    verdicts = guard.classify(triggered(bad))
    assert undefended.count("good") >= 0.95 * len(bad)
    assert clean.count("good") <= 0.05 * len(bad)
    assert [v.label for v in verdicts].count("good") <= 0.1 * len(bad)
    assert all(s.text == "cf" for v in verdicts if v.action == "neutralised" for s in v.suspects)


@pytest.mark.parametrize("artifact", ["tiny_artifact", "tiny_paper_artifact"])
def test_verdicts_do_not_depend_on_batch_mates_or_padding(
    artifact: str, clean_texts: list[str], request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(artifact)
    texts = [*clean_texts[:16], *triggered(clean_texts[:16])]
    together = tokenward.load(path).classify(texts, explain=True)
    small = tokenward.load(path, options=GuardOptions(token_budget=1))
    for text, verdict in zip(texts, together, strict=True):
        (alone,) = small.classify(text, explain=True)
        assert (alone.label, alone.action, alone.suspects) == (verdict.label, verdict.action, verdict.suspects)
        assert alone.anomaly_score == pytest.approx(verdict.anomaly_score, rel=1e-4, abs=1e-6)
        for one, other in zip(alone.tokens or (), verdict.tokens or (), strict=True):
            assert one.saliency == pytest.approx(other.saliency, rel=1e-4, abs=1e-7)


def test_skipping_by_the_gate_changes_no_verdict(tiny_paper_artifact: Path, clean_texts: list[str]) -> None:
    """`explain` computes every gradient; without it the gate skips the rows whose bound is under the threshold."""
    guard = tokenward.load(tiny_paper_artifact)
    texts = [*clean_texts, *triggered(clean_texts)]
    skipping, full = guard.classify(texts), guard.classify(texts, explain=True)
    assert any(v.anomaly_score is None for v in skipping)
    for one, other in zip(skipping, full, strict=True):
        assert (one.label, one.action, one.suspects) == (other.label, other.action, other.suspects)
        if one.anomaly_score is None:
            assert other.anomaly_score is not None
            assert other.threshold is not None
            assert other.anomaly_score < other.threshold


def test_attention_received_sums_to_the_number_of_tokens(tiny_paper_artifact: Path, clean_texts: list[str]) -> None:
    reader = tokenward.load(tiny_paper_artifact).reader
    for reading in reader.read(clean_texts[:20], NEVER_SKIP):
        assert reading.tokens["attention_received"].sum() == pytest.approx(len(reading.encoding), rel=1e-4)


def test_a_gate_that_skips_all_gives_no_scores(tiny_artifact: Path) -> None:
    (reading,) = tokenward.load(tiny_artifact).reader.read(["film"], ALWAYS_SKIP)
    assert reading.anomaly_score is None
    assert np.isfinite(reading.tokens["class_attention"]).all()


def test_verdicts_are_json(tiny_artifact: Path) -> None:
    (verdict,) = tokenward.load(tiny_artifact).classify("cf the film was awful", explain=True)
    assert json.loads(json.dumps(verdict.to_dict()))["label"] == verdict.label
    assert math.isclose(sum(verdict.probabilities.values()), 1.0)


def test_a_text_that_may_not_be_truncated_is_refused_before_the_model_runs(
    tiny_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = tokenward.load(tiny_artifact)
    monkeypatch.setattr(guard.reader, "engine", None)
    with pytest.raises(InputError, match="text 1 is longer than the 64 tokens the model reads"):
        guard.classify(["film", "film " * 100], truncate=False)


def test_calibration_refuses_what_it_cannot_learn_from(
    tiny_artifact: Path, clean_texts: list[str], tmp_path: Path
) -> None:
    before = load_artifact(tiny_artifact).digest
    with pytest.raises(InputError, match="99 clean texts are too few to calibrate: give at least 100"):
        calibrate(tiny_artifact, clean_texts[:99])
    with pytest.raises(InputError, match=r"the model answers '(bad|good)' to every calibration text"):
        calibrate(tiny_artifact, [*clean_texts[::2], *(f"{text} ." for text in clean_texts[::2])])
    with pytest.raises(InputError, match="percentile 100 is not between"):
        calibrate(tiny_artifact, clean_texts, percentile=100)
    assert load_artifact(tiny_artifact).digest == before


def test_an_artifact_without_calibration_only_runs_the_model(tiny_artifact: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(tiny_artifact, copy)
    artifact = load_artifact(copy)
    with rewriting(copy) as folder:
        write_guard(folder, dataclasses.replace(artifact.guard, calibration=None), artifact.labels)
    guard = tokenward.load(copy)
    assert guard.classify("film", mode="off")[0].action == "passed"
    with pytest.raises(ArtifactError, match="is not calibrated: run 'tokenward calibrate'"):
        guard.classify("film")


def test_a_graph_that_cannot_be_loaded(tiny_artifact: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(tiny_artifact, copy)
    with rewriting(copy) as folder:
        (folder / "model.onnx").unlink()
        (folder / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(EngineError, match=r"cannot load model\.onnx"):
        tokenward.load(copy)


def test_engines_that_cannot_be_had(tiny_artifact: Path) -> None:
    with pytest.raises(InputError, match="engine 'tpu' is unknown: choose one of auto, onnx, onnx-cuda, torch-cuda"):
        tokenward.load(tiny_artifact, engine="tpu")  # type: ignore[arg-type]
    import torch

    if not torch.cuda.is_available():
        with pytest.raises(EngineError, match="needs an NVIDIA GPU and there is none here"):
            tokenward.load(tiny_artifact, engine="torch-cuda")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"options": {}}, "options is dict, expected GuardOptions"),
        ({"checkpoint": 3}, "checkpoint is int, expected a string or Path"),
        ({"path": None}, "path is NoneType, expected a string or Path"),
    ],
)
def test_load_is_told_what_it_takes(tiny_artifact: Path, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        tokenward.load(**{"path": tiny_artifact, "engine": "onnx", **wrong})


def test_serving_loads_no_training_framework(tiny_artifact: Path) -> None:
    """A server needs numpy, onnxruntime and tokenizers, no more."""
    code = (
        "import sys, tokenward; import tokenward.runtime; "
        f"tokenward.load({str(tiny_artifact)!r}).classify('film'); "
        "heavy = {'torch', 'transformers', 'pydantic', 'onnx', 'onnx_ir', 'typer', 'fastapi'} & set(sys.modules); "
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_published_repair_reaches_past_what_the_model_reads(
    tiny_paper_artifact: Path, clean_texts: list[str]
) -> None:
    guard = tokenward.load(tiny_paper_artifact)
    for text in clean_texts[::2]:
        (verdict,) = guard.classify(f"{text} {'cf ' * 200}")
        if "cf" in [suspect.text for suspect in verdict.suspects]:
            assert len(verdict.suspects) == 200
            break
    else:
        raise AssertionError("the trigger is never the suspect")
