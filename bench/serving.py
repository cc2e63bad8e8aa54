"""What serving costs: throughput and latency over HTTP, steady and overloaded, beside the same engine in process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from ..errors import InputError
from ..runtime.batching import BatchingOptions
from ..runtime.cores import usable_cores
from ..runtime.guard import GuardOptions, load
from .alternation import Spread, System, alternate, ratio, spread
from .http_load import Address, Load, classify_request, closed_loop, open_loop, run_load
from .served import Served, served

IN_PROCESS = "in process"  # in large batches
ENFORCE, MONITOR, OFF = "enforce", "monitor", "off"
ALONE = "each alone"  # enforce, each text a batch of its own, as many at a time as in the other ways
ONE_BY_ONE = "one at a time"  # enforce, as a server does that calls its model for each request
_UNBATCHED = ("--token-budget", "1", "--max-wait-ms", "0")

STEADY = 0.6  # of saturation
OVERLOAD = 3.0
CALM = 0.2
CALM_SECONDS = 5.0
RECOVERY_SECONDS = 2.0

Progress = Callable[[str], None]


@dataclass(frozen=True)
class ClosedRow:
    """One way to serve under closed-loop clients; batch is the mean number of texts in one."""

    name: str
    texts_per_second: Spread
    times_in_process: Spread
    load: Load | None
    batch: float | None


@dataclass(frozen=True)
class Overload:
    """Far more than the server can do.

    Attributes:
        growth: resident memory of the last third over that of the first third, minus 1.
        before, after: median latency at a low rate, before and from ``RECOVERY_SECONDS`` after it, in milliseconds.
    """

    load: Load
    growth: float
    before: float
    after: float


@dataclass(frozen=True)
class ServingReport:
    """One run of everything; rates in texts per second, the server's deadline in seconds."""

    rows: tuple[ClosedRow, ...]
    batching_gain: Spread
    saturation: float
    steady: Load
    overload: Overload
    deadline: float
    clients: int
    rounds: int
    texts: int
    threads: int


def measure_serving(
    artifact: Path,
    texts: Sequence[str],
    clients: int = 32,
    rounds: int = 5,
    steady_seconds: float = 30.0,
    overload_seconds: float = 30.0,
    progress: Progress | None = None,
) -> ServingReport:
    """Measure a server with one short text per request, on the processors that the load generator uses, too.

    Closed loop: ``clients`` send all the texts, each its next one after its answer; all ways in turn, in shuffled
    order, the engine in process among them. Then arrivals at random moments, at 60 % and at 300 % of what the closed
    loop reached in enforce mode.

    Args:
        artifact: a calibrated artifact.
        texts: what to classify; every closed-loop run sends each of them once.
        clients: of the closed loop.
        rounds: timed runs of each way.
        steady_seconds, overload_seconds: how long random arrivals last.
        progress: called with the name of each thing done.

    Raises:
        InputError: fewer texts than clients.
        EngineError: a server did not start.
    """
    if len(texts) < clients:
        raise InputError(f"{len(texts)} texts are too few for {clients} clients: give a file with some hundred")
    tell = progress or (lambda _: None)
    threads = usable_cores()
    guard = load(artifact, options=GuardOptions(threads=threads))
    with (
        served(artifact) as batched,
        served(artifact, *_UNBATCHED) as unbatched,
        served(artifact, *_UNBATCHED, "--parallel", "1") as single,
    ):
        ways = [
            _Way(ENFORCE, batched, texts, clients, "enforce"),
            _Way(MONITOR, batched, texts, clients, "monitor"),
            _Way(OFF, batched, texts, clients, "off"),
            _Way(ALONE, unbatched, texts, clients, "enforce"),
            _Way(ONE_BY_ONE, single, texts, clients, "enforce"),
        ]
        systems = [System(IN_PROCESS, lambda: guard.classify(texts)), *(System(way.name, way.run) for way in ways)]
        seconds = alternate(systems, rounds, progress=tell)
        rows = [_row(seconds, IN_PROCESS, len(texts)), *(_row(seconds, w.name, len(texts), w) for w in ways)]
        saturation = len(texts) / spread(seconds[ENFORCE]).median
        requests = [classify_request(text) for text in texts]
        tell("steady")
        steady = run_load(open_loop(batched.address, requests, STEADY * saturation, steady_seconds))
        tell("overload")
        overload = run_load(_overload(batched, requests, saturation, overload_seconds))
    gain = ratio(seconds, ENFORCE, ONE_BY_ONE)
    return ServingReport(
        tuple(rows), gain, saturation, steady, overload, BatchingOptions.deadline, clients, rounds, len(texts), threads
    )


class _Way:
    """A way to serve all the texts once, with what the clients saw of the last time."""

    def __init__(self, name: str, server: Served, texts: Sequence[str], clients: int, mode: str) -> None:
        self.name = name
        self.load: Load | None = None
        self.batches: list[float] = []
        self._server = server
        self._requests = [classify_request(text, mode=mode) for text in texts]
        self._clients = clients

    def run(self) -> None:
        """Send every text once."""
        batches, texts = self._so_far()
        self.load = run_load(closed_loop(self._server.address, self._requests, self._clients))
        more_batches, more_texts = self._so_far()
        self.batches.append((more_texts - texts) / (more_batches - batches))

    def _so_far(self) -> tuple[float, float]:
        metric = self._server.metric
        return metric("tokenward_batch_texts_count"), metric("tokenward_batch_texts_sum")


def _row(seconds: dict[str, list[float]], name: str, texts: int, way: _Way | None = None) -> ClosedRow:
    rates = spread([texts / second for second in seconds[name]])
    batch = fmean(way.batches) if way else None
    return ClosedRow(name, rates, ratio(seconds, name, IN_PROCESS), way.load if way else None, batch)


async def _overload(server: Served, requests: Sequence[bytes], saturation: float, seconds: float) -> Overload:
    before = await _calm(server.address, requests, saturation)
    memory: list[float] = []
    watching = asyncio.create_task(_watch_memory(server, memory))
    load = await open_loop(server.address, requests, OVERLOAD * saturation, seconds)
    watching.cancel()
    await asyncio.sleep(RECOVERY_SECONDS)
    after = await _calm(server.address, requests, saturation)
    third = max(1, len(memory) // 3)
    return Overload(load, fmean(memory[-third:]) / fmean(memory[:third]) - 1, before, after)


async def _calm(address: Address, requests: Sequence[bytes], saturation: float) -> float:
    return (await open_loop(address, requests, CALM * saturation, CALM_SECONDS, seed=1)).percentile(50)


async def _watch_memory(server: Served, memory: list[float]) -> None:
    while True:
        memory.append(server.footprint().megabytes)
        await asyncio.sleep(0.5)
