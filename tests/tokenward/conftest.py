"""A small artifact folder (its graph is never run) for tests of what surrounds the graph."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tokenward.artifact import Calibration, GateFit, GraphInfo, GuardFile, Histogram, Reference, write_guard, writing


def guard_file(calibrated: bool = True) -> GuardFile:
    fit = GateFit(
        percentile=95.0,
        threshold=1.25,
        length_calibrated=True,
        slope=0.5,
        intercept=-1.0,
        histogram=Histogram((0.0, 1.0, 2.5), (7, 3)),
    )
    return GuardFile(
        family="bert",
        checkpoint="models/suspect",
        checkpoint_sha256="0" * 64,
        graph=GraphInfo("late", 5, (5,), "class", True, True, "fp32", 20, 128, ("input_ids",), ("logits",)),
        parity={"logits": 1.5e-6},
        versions={"tokenward": "0.1.0"},
        calibration=Calibration(10, "1" * 64, {"paper": fit}, (Reference("A fine film.", 1, 0.98),))
        if calibrated
        else None,
        purification={"method": "mbtsad", "losses": [1.0, 0.5], "after": {"cacc": 0.91, "asr": 0.02}},
    )


def write_artifact(target: Path, guard: GuardFile | None = None, labels: dict[str, str] | None = None) -> Path:
    with writing(target) as folder:
        (folder / "model.onnx").write_bytes(b"not a real graph")
        (folder / "config.json").write_text(json.dumps({"id2label": labels or {"0": "negative", "1": "positive"}}))
        (folder / "tokenizer.json").write_text("{}")
        write_guard(folder, guard or guard_file(), ("negative", "positive"))
    return target


@pytest.fixture
def artifact_dir(tmp_path: Path) -> Path:
    return write_artifact(tmp_path / "artifact")
