"""The timing harness: everything runs equally often, in changing order, and ratios are taken round by round."""

from __future__ import annotations

from typing import Any

import pytest

from tokenward.bench.alternation import Spread, System, alternate, ratio, spread


class Clock:
    """Time that passes only when a system says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("tokenward.bench.alternation.time", clock)
    return clock


def run_three(clock: Clock, rounds: int, seed: int) -> tuple[list[str], list[str], dict[str, list[float]]]:
    ran: list[str] = []
    told: list[str] = []
    costs = {"a": 1.0, "b": 2.0, "c": 4.0}

    def system(name: str) -> System:
        def prepare() -> None:
            clock.now += 100.0

        def run() -> None:
            ran.append(name)
            clock.now += costs[name] * (1 + ran.count(name))

        return System(name, run, prepare)

    return ran, told, alternate([system(name) for name in costs], rounds, seed, progress=told.append)


def test_only_the_work_is_timed_and_the_warm_up_is_not(clock: Clock) -> None:
    ran, told, seconds = run_three(clock, rounds=2, seed=0)
    assert seconds == {"a": pytest.approx([3, 4]), "b": pytest.approx([6, 8]), "c": pytest.approx([12, 16])}
    assert told == ran


def test_every_round_runs_all_in_a_new_order(clock: Clock) -> None:
    ran, _, _ = run_three(clock, rounds=5, seed=1)
    rounds = [tuple(ran[i : i + 3]) for i in range(0, len(ran), 3)]
    assert {tuple(sorted(r)) for r in rounds} == {("a", "b", "c")}
    assert len(set(rounds)) > 1
    assert run_three(clock, rounds=5, seed=1)[0] == ran


def test_ratios_are_taken_within_a_round() -> None:
    # The machine is ten times slower in the last round; the ratio does not see it.
    seconds: dict[str, Any] = {"slow": [4.0, 4.0, 40.0], "fast": [1.0, 1.0, 10.0]}
    assert ratio(seconds, "fast", "slow") == Spread(4.0, 4.0, 4.0)


def test_spread() -> None:
    assert spread([5.0]) == Spread(5.0, 5.0, 5.0)
    assert spread([1.0, 2.0, 3.0, 4.0, 5.0]) == Spread(2.0, 3.0, 4.0)
