"""The cost harness on the tiny classifier: it counts, compares like with like and says what it left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tokenward.bench import overhead
from tokenward.bench.alternation import Spread
from tokenward.bench.bare_onnx import export_bare
from tokenward.bench.overhead import measure_overhead, quantile, steps, times
from tokenward.bench.overhead_systems import Setup
from tokenward.bench.record import make_record, read_record, write_record
from tokenward.cli.overhead_table import overhead_tables
from tokenward.errors import InputError

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def setup(
    tiny_artifact: Path, tiny_checkpoint: Path, clean_texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Setup:
    graph = tmp_path_factory.mktemp("graph") / "bare.onnx"
    export_bare(tiny_checkpoint, graph)
    texts = tuple(clean_texts[:70])
    return Setup((tiny_artifact,), tiny_checkpoint, graph, texts, None, 1, ("strip", "rap", "xgraad"))


def test_every_system_at_every_batch_size(setup: Setup, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []
    monkeypatch.setattr(overhead, "peak_memory", lambda _setup, name, _blocks: asked.append(name) or 1.0)
    monkeypatch.setattr("time.sleep", lambda _: None)  # no timing is judged here
    told: list[str] = []
    rows = measure_overhead(setup, rounds=2, seconds=0.01, progress=told.append)
    assert len(told) == steps(setup, 2)
    names = {row.name("batch") for row in rows}
    modes = ("off", "monitor", "enforce, cold", "enforce, warm")
    assert names == {
        "bare PyTorch",
        "bare ONNX Runtime, default settings",
        "bare ONNX Runtime, best settings",
        *(f"tokenward fp32, {mode}" for mode in modes),
        *("STRIP", "RAP", "X-GRAAD"),
    }
    assert len(rows) == 2 * len(names) == 2 * len(asked)
    cells = {(row.name("batch"), row.labels["batch"]): row.metrics for row in rows}
    for batch in (1, 32):
        assert cells["bare ONNX Runtime, best settings", batch]["times_bare"].value == pytest.approx(1.0)
        for name, passes in {
            "bare PyTorch": (1, 0),
            "tokenward fp32, off": (1, 0),
            "STRIP": (21, 0),
            "RAP": (2, 0),
        }.items():
            found = cells[name, batch]
            assert (found["forwards"].value, found["backwards"].value) == passes
        assert cells["X-GRAAD", batch]["backwards"].value == 1
        assert cells["tokenward fp32, enforce, cold", batch]["forwards"].value > 1
    warm, cold = (cells[f"tokenward fp32, enforce, {memo}", 32]["forwards"].value for memo in ("warm", "cold"))
    assert 1 <= warm < cold
    assert {name for (name, batch), metrics in cells.items() if "memory" in metrics and batch == 32} == names
    record = make_record("overhead", rows, seed=0, hashes={})
    assert read_record(write_record(record, tmp_path / "o.json")).kind == "overhead"


def test_a_call_that_takes_too_long_is_not_run_and_says_so(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overhead, "peak_memory", lambda *_: 1.0)
    monkeypatch.setattr(overhead, "LONGEST", 1e-9)
    rows = measure_overhead(Setup(**{**vars(setup), "peers": ()}), rounds=1, seconds=0.01)
    assert rows
    for row in rows:
        assert row.not_run is not None
        assert "more than the 0 s that it may take" in row.not_run or "a text alone takes" in row.not_run
        assert not row.metrics


def test_without_the_bare_model_there_are_figures_but_no_ratios(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    make_cell = overhead._cell

    def slow_bare(name: str, *rest: Any) -> Any:
        cell = make_cell(name, *rest)
        cell.not_run = "one call takes 11 s" if name == "best" else None
        return cell

    monkeypatch.setattr(overhead, "_cell", slow_bare)
    monkeypatch.setattr(overhead, "peak_memory", lambda *_: 1.0)
    monkeypatch.setattr("time.sleep", lambda _: None)
    rows = measure_overhead(Setup(**{**vars(setup), "peers": ()}), rounds=1, seconds=0.01)
    ran = [row for row in rows if row.not_run is None]
    assert 0 < len(ran) < len(rows)
    for row in ran:
        assert row.metrics["texts_per_second"].value > 0
        assert "times_bare" not in row.metrics
    overhead_tables(rows)


def test_ratios_are_taken_over_the_calls_that_both_made() -> None:
    base = [[1.0, 2.0, 4.0], [10.0, 20.0, 40.0]]
    slow = [[2.0, 4.0], [40.0, 80.0]]
    assert times(slow, base) == Spread(0.3125, 0.375, 0.4375)
    assert times(base, slow) == Spread(2.5, 3.0, 3.5)


def test_quantiles() -> None:
    assert quantile([7.0], 95) == 7.0
    assert quantile([float(value) for value in range(101)], 95) == 95.0


def test_memory_is_that_of_a_process_of_its_own(setup: Setup) -> None:
    from tokenward.bench.peak_memory import peak_memory

    bare = peak_memory(setup, "best", [list(setup.texts[:32])])
    assert 20 < bare < 2000


def test_bad_input(setup: Setup, tiny_encoder: Path, tmp_path: Path) -> None:
    changes: list[tuple[dict[str, object], str]] = [
        ({"texts": ()}, "no texts to measure with"),
        ({"model_dir": tiny_encoder}, "exported from another checkpoint"),
        ({"model_dir": tmp_path}, "no checkpoint at .*--model"),
        ({"language_model": tmp_path}, "no language model at"),
    ]
    for change, told in changes:
        with pytest.raises(InputError, match=told):
            measure_overhead(Setup(**{**vars(setup), **change}))
