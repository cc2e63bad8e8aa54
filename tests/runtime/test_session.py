"""Sessions: settings change how a graph runs and not what it answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("torch")  # the artifact is made with it

from tokenward.errors import EngineError
from tokenward.runtime.session import FUSIONS, SessionSettings, feed_names, open_optimized, open_session


def answer(session) -> np.ndarray:
    ids = np.arange(3, 15).reshape(2, 6)
    return session.run(["logits"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]


@pytest.mark.parametrize(
    "settings",
    [
        SessionSettings(threads=1, spinning=False),
        SessionSettings(threads=2, arena=False, disabled=()),
        SessionSettings(disabled=FUSIONS),
    ],
)
def test_the_answers_are_those_of_the_default_settings(settings: SessionSettings, tiny_artifact: Path) -> None:
    expected = answer(open_session(tiny_artifact / "model.onnx", SessionSettings()))
    np.testing.assert_allclose(answer(open_session(tiny_artifact / "model.onnx", settings)), expected, rtol=1e-4)


def test_what_the_optimisers_left_can_be_opened_as_it_is(tiny_artifact: Path, tmp_path: Path) -> None:
    settings, path = SessionSettings(threads=1), tmp_path / "optimized.onnx"
    session = open_session(tiny_artifact / "model.onnx", settings, optimized=path)
    np.testing.assert_array_equal(answer(open_optimized(path, settings)), answer(session))


def test_the_gate_may_be_fed_though_it_need_not(tiny_artifact: Path) -> None:
    session = open_session(tiny_artifact / "model.onnx", SessionSettings())
    assert feed_names(session) == {"input_ids", "attention_mask", "gate"}
    assert [value.name for value in session.get_inputs()] == ["input_ids", "attention_mask"]


def test_settings_are_told_in_words() -> None:
    assert str(SessionSettings()) == (
        "a thread per core, spinning without work; memory kept; without SkipLayerNormFusion"
    )
    assert str(SessionSettings(2, False, False, ())) == (
        "2 threads, sleeping without work; memory given back; with every fusion"
    )


def test_a_file_that_is_no_graph(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(EngineError, match=r"cannot load model\.onnx: export the model again"):
        open_session(tmp_path / "model.onnx", SessionSettings())
