from __future__ import annotations

from pathlib import Path

import pytest

from tokenward.bench.triton import ALONE_GRPC, IN_PROCESS, OWN_HTTP, TRITON_GRPC, TRITON_HTTP, measure_triton
from tokenward.errors import InputError


def test_every_way_answers_every_text(tiny_artifact: Path, clean_texts: list[str]) -> None:
    done: list[str] = []
    report = measure_triton(tiny_artifact, clean_texts[:24], clients=(1, 4), rounds=1, progress=done.append)
    ways = {IN_PROCESS, OWN_HTTP, TRITON_HTTP, TRITON_GRPC, ALONE_GRPC}
    assert {(row.name, row.clients) for row in report.rows} == {(way, count) for way in ways for count in (1, 4)}
    for row in report.rows:
        median, high, highest = row.milliseconds
        assert 0 < median <= high <= highest
        assert row.texts_per_second.median > 0
    assert all(row.times_in_process.median == 1 for row in report.rows if row.name == IN_PROCESS)
    assert report.share == next(
        row.times_in_process.median for row in report.rows if (row.name, row.clients) == (TRITON_GRPC, 4)
    )
    assert len(done) == 2 * len(report.rows)


def test_too_few_texts(tiny_artifact: Path) -> None:
    with pytest.raises(InputError, match="too few for 32 clients"):
        measure_triton(tiny_artifact, ["a film"])
