"""An attacker against the budget: every request carries a fresh odd word, so that no second look is ever remembered."""

from __future__ import annotations

import gc
import string
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..attacks.trigger import Trigger
from ..errors import InputError, require
from ..runtime.guard import Guard
from .alternation import Spread, spread
from .record import Metric, Row, timed

CHUNK = 250


@dataclass(frozen=True)
class Flood:
    """What the flood did; rates in texts per second, each chunk of it beside a chunk of normal texts.

    Attributes:
        times_normal: rate of the flood over that of normal texts, chunk by chunk.
        slowest: the lowest of these: the first chunks, while the saved-up credit is spent.
        suspicious, fallbacks: texts that the gate raised, and those of them that the fallback decided.
        memory: resident MiB after the first tenth and at the end; ``entries`` in the cache likewise.
    """

    requests: int
    normal: Spread
    flooded: Spread
    times_normal: Spread
    slowest: float
    suspicious: int
    fallbacks: int
    memory: tuple[float, float]
    entries: tuple[int, int]


def flood(
    guard: Guard,
    calm: Guard,
    texts: Sequence[str],
    requests: int,
    seed: int = 0,
    progress: Callable[[int], None] = lambda _: None,
) -> Flood:
    """Send ``requests`` texts with a fresh odd word each to ``guard``, in chunks, and the same without it to ``calm``.

    Both read the texts once beforehand, so that normal ones find a warm cache; normal traffic earns the flooded guard
    no credit.

    Raises:
        InputError: fewer requests than two chunks, or no texts.
    """
    if requests < 2 * CHUNK or not texts:
        raise InputError(f"a flood needs texts and at least {2 * CHUNK} requests")
    process = require("psutil", "bench").Process()
    for each in (guard, calm):
        each.classify(texts)
    rng = np.random.default_rng(seed)
    words = odd_words(rng)
    seconds: dict[bool, list[float]] = {True: [], False: []}
    suspicious = fallbacks = sent = 0
    states = []
    while sent < requests:
        count = min(CHUNK, requests - sent)
        normal = [texts[(sent + i) % len(texts)] for i in range(count)]
        odd = [Trigger((next(words),)).insert(text, rng) for text in normal]
        for attack, judge, chunk in ((False, calm, normal), (True, guard, odd)):
            start = time.perf_counter()
            verdicts = judge.classify(chunk)
            seconds[attack].append((time.perf_counter() - start) / count)
            if attack:
                suspicious += sum(v.action != "passed" for v in verdicts)
                fallbacks += sum(v.fallback for v in verdicts)
        sent += count
        gc.collect()
        states.append((process.memory_info().rss / 2**20, len(guard.cache)))
        progress(count)
    times = [normal / attack for normal, attack in zip(seconds[False], seconds[True], strict=True)]
    early, late = states[len(states) // 10], states[-1]
    return Flood(
        requests,
        spread([1 / s for s in seconds[False]]),
        spread([1 / s for s in seconds[True]]),
        spread(times),
        min(times),
        suspicious,
        fallbacks,
        (early[0], late[0]),
        (early[1], late[1]),
    )


def odd_words(rng: np.random.Generator) -> Iterator[str]:
    """Words of 4 to 9 random letters, no two alike."""
    seen: set[str] = set()
    while True:
        word = "".join(rng.choice(list(string.ascii_lowercase), rng.integers(4, 10)))
        if word not in seen:
            seen.add(word)
            yield word


def flood_row(found: Flood) -> Row:
    """The figures as a row of a record."""
    metrics = {
        "normal": timed(found.normal, "texts/s", "higher"),
        "flooded": timed(found.flooded, "texts/s", "higher"),
        "times_normal": timed(found.times_normal, "×", "higher"),
        "slowest_chunk": Metric(found.slowest, better="higher"),
        "suspicious": Metric(found.suspicious, unit="texts"),
        "fallbacks": Metric(found.fallbacks, unit="texts"),
        "memory_early": Metric(found.memory[0], unit="MiB"),
        "memory_late": Metric(found.memory[1], unit="MiB"),
        "entries_early": Metric(found.entries[0]),
        "entries_late": Metric(found.entries[1]),
    }
    return Row({"defence": "tokenward"}, metrics)
