"""Work is counted as theory says, fits find known laws, and a spent budget is told; no timing is judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenward.bench.record import Metric, Row, read_record
from tokenward.bench.scaling import PLAIN, VARIANTS, Point, Shape, measure_scaling, sweep
from tokenward.bench.scaling_fit import fit_rows
from tokenward.cli import main
from tokenward.errors import InputError

pytest.importorskip("torch")

TINY = Shape(hidden=16, heads=2, inner=40, layers=2, vocabulary=50)


def test_the_work_of_a_pass_is_what_the_formula_says() -> None:
    points = [Point("length", 5, 3, 2), Point("length", 9, 3, 2)]
    rows = measure_scaling(points, TINY, rounds=1)
    assert {row.labels["defence"] for row in rows} == {PLAIN, *(variant.name for variant in VARIANTS)}
    for row in rows:
        if row.labels["defence"] == PLAIN:
            length, texts, width = row.labels["length"], 3, TINY.hidden
            token = 4 * width**2 + 2 * width * TINY.inner + 2 * length * width
            head = texts * (width**2 + 2 * width)  # pooler and classifier
            assert row.metrics["gflops"].value * 1e9 == 2 * (texts * length * 2 * token + head)
    gflops = {row.labels["defence"]: row.metrics["gflops"].value for row in rows if row.labels["length"] == 9}
    assert gflops["tokenward"] < gflops[PLAIN] < gflops["paper, every gradient"]


def made(axis: str, place: int, gflop: float, megabyte: float, law: tuple[float, float, float]) -> Row:
    ms = law[0] * gflop + law[1] * megabyte + law[2] * 100
    metrics = {"gflops": gflop, "megabytes": megabyte, "operators": 100, "milliseconds": ms}
    labels = {"defence": "x", "axis": axis, axis: place}
    return Row(labels, {name: Metric(value) for name, value in metrics.items()}, series={"milliseconds": (ms, ms)})


@pytest.mark.parametrize("law", [(2.0, 0.0, 0.0), (2.0, 0.25, 0.0), (1.5, 0.125, 0.0625)])
def test_a_known_law_is_found(law: tuple[float, float, float]) -> None:
    rows = [made("length", n, n + 0.01 * n * n, 0.3 * n * n, law) for n in (1, 2, 4, 8, 16)]
    (found,) = [row.metrics for row in fit_rows(rows) if row.labels["fit"] == "law"]
    terms = tuple(found[f"ms_per_{name}"].value for name in ("gflop", "megabyte", "operator"))
    assert terms == pytest.approx(law, abs=1e-6)
    assert found["largest_error"].value == pytest.approx(0, abs=1e-6)


def test_exponents_of_powers_and_nothing_from_what_was_not_run() -> None:
    rows = [made("length", n, n**2, n, (1.0, 0.0, 0.0)) for n in (3, 7, 20)]
    missing = Row({"defence": "x", "axis": "layers", "layers": 2}, not_run="the budget was spent")
    exponents, law = fit_rows([*rows, missing])
    assert exponents.labels == {"defence": "x", "fit": "length"}
    assert exponents.metrics["exponent"].value == pytest.approx(2)
    assert exponents.metrics["exponent_flops"].value == pytest.approx(2)
    assert exponents.metrics["exponent_bytes"].value == pytest.approx(1)
    assert law.labels["fit"] == "law"


def test_a_spent_budget_leaves_cells_out_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["bench", "scaling", "--budget", "0", "--json", str(tmp_path / "scaling.json")])
    assert not exit_.value.code
    record = read_record(tmp_path / "scaling.json")
    assert len(record.rows) == len(sweep()) * (1 + len(VARIANTS))
    assert {row.not_run for row in record.rows} == {"the budget of 0 s was spent"}
    assert "18 of 18 shapes were not run" in capsys.readouterr().err


def test_nothing_to_measure() -> None:
    with pytest.raises(InputError, match="nothing to measure"):
        measure_scaling([])
