"""Timing systems against each other on a noisy machine: in turn, in shuffled order, compared round by round."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class System:
    """Something to time.

    Attributes:
        run: does the whole work once.
        prepare: called before every run, outside the time that is taken.
    """

    name: str
    run: Callable[[], object]
    prepare: Callable[[], object] = _nothing


@dataclass(frozen=True)
class Spread:
    """Median and quartiles."""

    low: float
    median: float
    high: float


def alternate(
    systems: Sequence[System],
    rounds: int,
    seed: int = 0,
    pause: float = 0.2,
    progress: Callable[[str], None] | None = None,
    clock: Callable[[], float] | None = None,
) -> dict[str, list[float]]:
    """Seconds of every system in every round, by name.

    Every system runs once to warm up. Then each round runs them all in a new order, so that a slow moment of the
    machine hurts all alike; the pause lets the worker threads of the one before come to rest.

    Args:
        systems: what to time; names must differ.
        rounds: times that each is run.
        seed: of the orders.
        pause: seconds before each run.
        progress: called with a system's name after each of its runs, warm-up included.
        clock: what is measured: ``time.process_time`` for the time of processors, in all threads; None: of the wall.
    """
    clock = clock or time.perf_counter
    draw = random.Random(seed)
    seconds: dict[str, list[float]] = {system.name: [] for system in systems}
    for number in range(rounds + 1):
        for system in draw.sample(systems, len(systems)):
            system.prepare()
            time.sleep(pause)
            start = clock()
            system.run()
            if number > 0:
                seconds[system.name].append(clock() - start)
            if progress:
                progress(system.name)
    return seconds


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles of one value per round."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, _, high = quantiles(values, n=4, method="inclusive")
    return Spread(low, median(values), high)


def ratio(seconds: dict[str, list[float]], name: str, base: str) -> Spread:
    """How many times as fast as ``base`` a system is: the ratio of each round, then its spread."""
    return spread([b / s for b, s in zip(seconds[base], seconds[name], strict=True)])
