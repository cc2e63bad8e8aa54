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


def test_the_least_batch_has_no_gate_to_try(tiny, table, tmp_path: Path) -> None:
    """Where nothing is scored no text's bound is above another's."""
    nothing = np.zeros_like(table)
    session, chosen = guarded(tiny, "bert", "paper", nothing, tmp_path)
    check_gate(session, chosen, RandomTexts(nothing, 0, 62), TOLERANCE)
