"""An export is refused where the gate, or padding, would change what is said of a text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from tokenward.errors import ExportError
from tokenward.export import gate, scoring
from tokenward.export.assembly import guard_graph
from tokenward.export.comparison import TOLERANCE
from tokenward.export.discovery import discover
from tokenward.export.invariance import check_gate, check_padding
from tokenward.export.presets import ExportSettings, plan
from tokenward.export.random_texts import RandomTexts
from tokenward.export.session import serving_session


def guarded(tiny, name: str, preset: str, table, folder: Path, packed: bool = True):
    model = tiny(name).graph()
    layout = discover(model.graph)
    chosen = plan(ExportSettings(preset, packed=packed), len(layout.attention))
    guard_graph(model, layout, chosen, table)
    ir.save(model, folder / "graph.onnx")
    return serving_session(folder / "graph.onnx"), chosen


@pytest.mark.parametrize("preset", ["paper", "tokenward"])
@pytest.mark.parametrize("name", ["bert", "gpt2 last"])
def test_a_sound_graph_passes(name: str, preset: str, tiny, table, tmp_path: Path) -> None:
    session, chosen = guarded(tiny, name, preset, table, tmp_path)
    texts = RandomTexts(table, tiny(name).pad_id, 62)
    check_gate(session, chosen, texts, TOLERANCE)
    check_padding(session, texts)


def test_gathered_row_numbers_fail(tiny, table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "_row_numbers", lambda *_: set())
    session, chosen = guarded(tiny, "gpt2 last", "paper", table, tmp_path)
    with pytest.raises(ExportError, match="fails where the gate skips texts: export with --no-gate") as raised:
        check_gate(session, chosen, RandomTexts(table, 0, 62), TOLERANCE)
    assert "\n" not in str(raised.value)


def test_a_bound_that_is_none_fails(tiny, table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = scoring.bound
    monkeypatch.setattr(scoring, "bound", lambda op, *values: op.Mul(sound(op, *values), 0.01).value)
    session, chosen = guarded(tiny, "bert", "paper", table, tmp_path)
    with pytest.raises(ExportError, match="skips a text that scores above it"):
        check_gate(session, chosen, RandomTexts(table, 0, 62), TOLERANCE)


def test_the_last_token_depends_on_what_padding_is(tiny, table, tmp_path: Path) -> None:
    session, _ = guarded(tiny, "gpt2 last", "paper", table, tmp_path, packed=False)
    with pytest.raises(ExportError, match=r"padding a text with token 7 changes its logits by .*: name the"):
        check_padding(session, RandomTexts(table, 7, 62))


class NotANumber:
    """A session that answers NaN as one output where ``when`` says so of its inputs."""

    def __init__(self, session, name: str, when) -> None:
        self.session, self.name, self.when = session, name, when

    def __getattr__(self, name: str):
        return getattr(self.session, name)

    def run(self, names, inputs):
        outputs = [value.name for value in self.session.get_outputs()]
        return [
            array * np.nan if name == self.name and self.when(inputs) else array
            for name, array in zip(outputs, self.session.run(names, inputs), strict=True)
        ]


@pytest.mark.parametrize("tolerance", [TOLERANCE, np.inf])
@pytest.mark.parametrize("name", ["logits", "saliency"])
def test_what_is_not_a_number_is_not_near_one(name: str, tolerance: float, tiny, table, tmp_path: Path) -> None:
    session, chosen = guarded(tiny, "bert", "tokenward", table, tmp_path)
    texts = RandomTexts(table, 0, 62)
    with pytest.raises(ExportError, match=f"the gate changes {name}"):
        check_gate(NotANumber(session, name, lambda inputs: inputs["gate"] > -np.inf), chosen, texts, tolerance)
    if name == "logits":
        with pytest.raises(ExportError, match="changes its logits by nan"):
            check_padding(NotANumber(session, name, lambda inputs: len(inputs["input_ids"]) == 1), texts)


def test_the_least_batch_has_no_gate_to_try(tiny, table, tmp_path: Path) -> None:
    """Where nothing is scored no text's bound is above another's."""
    nothing = np.zeros_like(table)
    session, chosen = guarded(tiny, "bert", "paper", nothing, tmp_path)
    check_gate(session, chosen, RandomTexts(nothing, 0, 62), TOLERANCE)
