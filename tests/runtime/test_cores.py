"""Cores are counted on systems that know no affinity, too."""

from __future__ import annotations

import os

import pytest

from tokenward.runtime.batching_options import BatchingOptions
from tokenward.runtime.cores import usable_cores


def test_the_cores_are_those_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 2, 5}, raising=False)
    assert usable_cores() == 3


@pytest.mark.parametrize(("counted", "expected"), [(6, 6), (None, 1)])
def test_where_the_system_does_not_tell_which(
    counted: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: counted)
    assert usable_cores() == expected
    assert BatchingOptions(parallel=2).threads() == max(1, expected // 2)
