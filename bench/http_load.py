"""Load on an HTTP server, from as little of the processor as possible: it is shared with the server under test."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from time import perf_counter
from typing import Any, TypeVar

from ..errors import require

T = TypeVar("T")

Address = tuple[str, int]

LOST = 0  # the status of a request whose connection broke


@dataclass
class Load:
    """What came back.

    Attributes:
        statuses: how often each HTTP status came; ``LOST`` where none did.
        latencies: seconds of each request that was answered with 200, from the moment it was due.
        seconds: how long it took altogether.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, status: int, seconds: float) -> None:
        """Count a request."""
        self.statuses[status] += 1
        if status == 200:
            self.latencies.append(seconds)

    @property
    def rate(self) -> float:
        """Good answers per second."""
        return self.statuses[200] / self.seconds

    def percentile(self, percent: int) -> float:
        """Latency in milliseconds that ``percent`` of the good answers stay under; NaN where there are too few."""
        if len(self.latencies) < 2:
            return float("nan")
        return 1000 * quantiles(self.latencies, n=100, method="inclusive")[percent - 1]


def classify_request(texts: str | Sequence[str], **options: Any) -> bytes:
    """A whole HTTP request for ``/v1/classify``."""
    body = json.dumps({"texts": texts, **options}).encode()
    head = f"POST /v1/classify HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


class Connection:
    """One keep-alive connection."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> int:
        """Send a request, read the whole answer, return its status."""
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(*self._address)
            reader, writer = self._streams
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(_content_length(head))
            if b"\r\nconnection: close" in head.lower():
                self.close()
            return int(head[9:12])
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            return LOST

    def close(self) -> None:
        """Close it; the next request opens it anew."""
        if self._streams:
            self._streams[1].close()
            self._streams = None


def run_load(work: Coroutine[Any, Any, T]) -> T:
    """Run a load on the event loop that costs least (uvloop, which the server uses as well)."""
    result: T = require("uvloop", "serve").run(work)
    return result


async def closed_loop(address: Address, requests: Sequence[bytes], clients: int) -> Load:
    """Send every request once: each client sends its next one when it has its answer."""
    load, waiting = Load(), iter(requests)

    async def client() -> None:
        connection = Connection(address)
        for request in waiting:
            begin = perf_counter()
            load.add(await connection.ask(request), perf_counter() - begin)
        connection.close()

    begin = perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    load.seconds = perf_counter() - begin
    return load


async def open_loop(address: Address, requests: Sequence[bytes], rate: float, seconds: float, seed: int = 0) -> Load:
    """Send requests at random moments (a Poisson process), whether or not the earlier ones have been answered.

    Latency counts from the moment a request was due, so a generator that falls behind does not hide a slow server.
    """
    load, draw = Load(), random.Random(seed)
    idle: list[Connection] = []
    running: set[asyncio.Task[None]] = set()

    async def send(request: bytes, due: float) -> None:
        connection = idle.pop() if idle else Connection(address)
        load.add(await connection.ask(request), perf_counter() - due)
        idle.append(connection)

    begin = due = perf_counter()
    while (due := due + draw.expovariate(rate)) < begin + seconds:
        await asyncio.sleep(max(0.0, due - perf_counter()))
        task = asyncio.create_task(send(draw.choice(requests), due))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)
    load.seconds = perf_counter() - begin
    for connection in idle:
        connection.close()
    return load


def _content_length(head: bytes) -> int:
    place = head.lower().index(b"content-length:")
    return int(head[place + 15 : head.index(b"\r\n", place)])
