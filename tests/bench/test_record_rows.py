"""Every report of a timing benchmark becomes rows that a record takes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tokenward.bench.alternation import Spread
from tokenward.bench.http_load import Load
from tokenward.bench.record import Row, make_record, read_record, write_record
from tokenward.bench.record_rows import serving_rows, soak_rows, speed_rows, triton_rows
from tokenward.bench.served import Footprint
from tokenward.bench.serving import ClosedRow, Overload, ServingReport
from tokenward.bench.soak import SoakReport
from tokenward.bench.speed import SpeedReport, SpeedRow
from tokenward.bench.triton import HopRow, TritonReport

RATE, TIMES = Spread(90.0, 100.0, 110.0), Spread(0.8, 0.9, 1.0)
ANSWERED = Load(Counter({200: 3, 429: 1}), [0.010, 0.020, 0.030], 2.0)
LOST = Load(Counter({0: 2}), [], 2.0)  # no answer at all, so no latency either

REPORTS = {
    "speed": speed_rows(SpeedReport((SpeedRow("guarded", RATE, TIMES, TIMES),), "tokenward", 40, 5, 2, None)),
    "serving": serving_rows(
        ServingReport(
            (ClosedRow("in process", RATE, TIMES, None, None), ClosedRow("enforce", RATE, TIMES, ANSWERED, 7.5)),
            TIMES,
            100.0,
            ANSWERED,
            Overload(LOST, 0.05, 3.0, 3.5),
            2.0,
            32,
            3,
            400,
            2,
        )
    ),
    "soak": soak_rows(
        SoakReport(Footprint(100.0, 9, 20), Footprint(101.0, 9, 21), Counter({200: 5, 422: 1}), 2.0, 10.0)
    ),
    "triton": triton_rows(TritonReport((HopRow("Triton, gRPC", 8, RATE, TIMES, (1.0, 2.0, 3.0)),), 400, 3, 2)),
}


@pytest.mark.parametrize("kind", REPORTS)
def test_a_record_takes_them(kind: str, tmp_path: Path) -> None:
    record = read_record(write_record(make_record(kind, REPORTS[kind], seed=0, hashes={}), tmp_path))
    assert [row.labels for row in record.rows] == [row.labels for row in REPORTS[kind]]


def of(kind: str, **labels: object) -> Row:
    (row,) = (row for row in REPORTS[kind] if labels.items() <= row.labels.items())
    return row


def test_figures_are_where_one_looks_for_them() -> None:
    assert of("speed", defence="guarded").metrics["times_bare"].value == 0.9
    assert of("serving", way="enforce", load="32 clients").metrics["p50"].value == pytest.approx(20.0)
    assert of("serving", load="steady arrivals").metrics["share_429"].value == 0.25
    assert "p50" not in of("serving", load="overload").metrics
    assert of("soak", moment="answers").metrics["status_422"].value == 1
    assert of("triton", clients=8).metrics["p99"].value == 3.0
