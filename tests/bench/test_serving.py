"""The serving benchmark end to end on a tiny model: not how fast, but that what it reports adds up."""

from __future__ import annotations

import math

import pytest
from rich.console import Console

from tokenward.bench import serving
from tokenward.bench.soak import soak
from tokenward.cli.serving_table import serving_table
from tokenward.errors import InputError


def test_every_way_is_measured_and_told(tiny_artifact, clean_texts, monkeypatch):
    monkeypatch.setattr(serving, "CALM_SECONDS", 0.5)
    monkeypatch.setattr(serving, "RECOVERY_SECONDS", 0.0)
    texts = [f"{text} {number}" for number, text in enumerate(clean_texts[:60])]
    report = serving.measure_serving(
        tiny_artifact, texts, clients=8, rounds=1, steady_seconds=0.5, overload_seconds=1.0
    )
    rows = {row.name: row for row in report.rows}
    assert set(rows) == {
        serving.IN_PROCESS,
        serving.ENFORCE,
        serving.MONITOR,
        serving.OFF,
        serving.ALONE,
        serving.ONE_BY_ONE,
    }
    assert rows[serving.IN_PROCESS].times_in_process.median == 1
    for name in (serving.ENFORCE, serving.MONITOR, serving.OFF, serving.ALONE, serving.ONE_BY_ONE):
        assert rows[name].load.statuses == {200: 60}
    assert rows[serving.ALONE].batch == rows[serving.ONE_BY_ONE].batch == 1
    assert rows[serving.OFF].batch > 1
    assert report.steady.statuses[200] > 1
    assert report.overload.load.statuses.keys() <= {200, 429, 504}
    assert math.isfinite(report.overload.growth)
    console = Console(width=100)
    with console.capture() as told:
        console.print(serving_table(report))
    assert "one at a time" in told.get()
    assert "200, 429, 504" in told.get()


def test_too_few_texts(tiny_artifact):
    with pytest.raises(InputError, match="too few for 32 clients"):
        serving.measure_serving(tiny_artifact, ["film"])


def test_a_short_soak(tiny_artifact, clean_texts):
    report = soak(tiny_artifact, clean_texts[:40], minutes=0.05)
    assert report.statuses[200] > 10
    assert report.statuses[413] > 0
    assert report.statuses[422] > 0
    assert report.statuses.keys() <= {200, 413, 422, 429, 504}
    assert report.end.megabytes > 10
