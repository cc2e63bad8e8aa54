"""The Python model by itself, over a stand-in for what Triton gives it: which requests share an error, and a run."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tokenward.deploy.config import guard_config
from tokenward.deploy.repository import write_repository
from tokenward.deploy.settings import TritonSettings
from tokenward.runtime.guard import Guard

SETTINGS = TritonSettings("alone", self_contained=True, max_text_bytes=1000)
SERVED = "tokenward.deploy.served."


class Request:
    """One text for each row, and what its caller chose."""

    def __init__(self, *texts: str, **parameters: Any) -> None:
        self.values = np.array([[text.encode()] for text in texts], dtype=object)
        self._parameters = json.dumps(parameters)

    def parameters(self) -> str:
        return self._parameters

    def requested_output_names(self) -> list[str]:
        return ["LABEL"]


class TritonError(Exception):
    INTERNAL, UNAVAILABLE, INVALID_ARG = range(3)

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Family:
    COUNTER = 0

    def __init__(self, **_: Any) -> None:
        self.count = 0

    def Metric(self, labels: dict[str, str]) -> Any:  # noqa: N802  # Triton's name
        return SimpleNamespace(increment=lambda number: None)


def backend() -> ModuleType:
    """What the model uses of Triton's own module."""
    module: Any = ModuleType("triton_python_backend_utils")
    module.TritonError, module.MetricFamily = TritonError, Family
    module.Tensor = lambda name, values: values
    module.InferenceResponse = lambda output_tensors=(), error=None: error or output_tensors[0]
    module.Logger = SimpleNamespace(log_error=lambda _: None, log_warn=lambda _: None)
    module.get_input_tensor_by_name = lambda request, _: SimpleNamespace(as_numpy=lambda: request.values)
    return module


@pytest.fixture
def model(tiny_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", backend())
    from tokenward.deploy.served.model import TritonPythonModel

    write_repository(tiny_artifact, tmp_path, SETTINGS)
    parameters = {name: {"string_value": p.string_value} for name, p in guard_config(SETTINGS, 2).parameters.items()}
    config = json.dumps({"parameters": parameters, "max_batch_size": SETTINGS.max_batch})
    served = TritonPythonModel()
    served.initialize(
        {
            "model_config": config,
            "model_repository": str(tmp_path / "alone"),
            "model_version": "1",
            "model_name": "alone",
        }
    )
    yield served
    for name in [name for name in sys.modules if name.startswith(SERVED)]:
        del sys.modules[name]  # they hold on to the stand-in


def test_the_warm_up_is_nobodys_text(model: Any):
    assert model._rows.count == 1
    assert not model._metrics._counters


def told(responses: list[Any]) -> list[str]:
    return [r.item().decode() if isinstance(r, np.ndarray) else str(r) for r in responses]


def test_a_text_that_may_not_be_truncated_is_refused_before_the_model_runs(model: Any, in_process: Guard):
    long = "film " * 99
    before = model._rows.count
    assert told(model.execute([Request(long, truncate=False)]))[0].startswith("text 0 is longer than the 64 tokens")
    assert model._rows.count == before
    mixed = [Request("a superb film", truncate=False), Request("film", long, truncate=False)]
    got = told(model.execute(mixed))
    assert got[0] == in_process.classify("a superb film")[0].label
    assert got[1].startswith("text 1 is longer than the 64 tokens")


def test_a_text_without_finite_logits_fails_its_own_request_alone(model: Any, in_process: Guard, monkeypatch: Any):
    run = model._rows._engine.run
    (odd,) = model._guard.encode(["cf"])

    def broken(batch: Any, gate: float) -> Any:
        arrays = run(batch, gate)
        rows = (batch.input_ids == odd.ids[1]).any(axis=1)
        return {**arrays, "logits": np.where(rows[:, None], np.float32("nan"), arrays["logits"])}

    monkeypatch.setattr(model._rows._engine, "run", broken)
    texts = ("a superb film", "a film cf", "a superb film")
    got = told(model.execute([Request(text, mode="off") for text in texts]))
    label = in_process.classify("a superb film", "off")[0].label
    assert [answer == label for answer in got] == [True, False, True]
    assert got[1].startswith("the model gave logits that are not finite")
