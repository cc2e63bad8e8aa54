"""What each hop costs: the same artifact in process, behind the project's own HTTP server, and on Triton."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from ..deploy.local_triton import LocalTriton
from ..deploy.repository import write_repository
from ..deploy.settings import TritonSettings
from ..errors import InputError, require
from ..runtime.batching import AsyncGuard
from ..runtime.cores import usable_cores
from ..runtime.guard import Guard, GuardOptions, load
from .alternation import Spread, System, alternate, ratio, spread
from .http_load import Address, Load, closed_loop, run_load
from .served import served

IN_PROCESS = "in process"
OWN_HTTP = "own server, HTTP"
TRITON_HTTP = "Triton, HTTP"
TRITON_GRPC = "Triton, gRPC"
ALONE_GRPC = "Triton self-contained, gRPC"

CLIENTS = (1, 8, 32)
TARGET = 0.7  # of the in-process rate, at the most clients over gRPC

Progress = Callable[[str], None]
Ask = Callable[[int], Awaitable[int]]


@dataclass(frozen=True)
class HopRow:
    """One way to ask, with so many clients that each send their next text after its answer.

    Attributes:
        times_in_process: rate relative to the engine in process with as many callers, round by round.
        milliseconds: median, 95th and 99th percentile of one text's latency in the last round.
    """

    name: str
    clients: int
    texts_per_second: Spread
    times_in_process: Spread
    milliseconds: tuple[float, float, float]


@dataclass(frozen=True)
class TritonReport:
    """One run of everything."""

    rows: tuple[HopRow, ...]
    texts: int
    rounds: int
    threads: int

    @property
    def share(self) -> float:
        """Median rate over gRPC at the most clients, relative to in process."""
        most = max(row.clients for row in self.rows)
        return next(r.times_in_process.median for r in self.rows if (r.name, r.clients) == (TRITON_GRPC, most))


def measure_triton(
    artifact: Path,
    texts: Sequence[str],
    clients: Sequence[int] = CLIENTS,
    rounds: int = 3,
    progress: Progress | None = None,
) -> TritonReport:
    """Send every text once, by every way and number of clients in turn; load generator and servers share the cores.

    Every server runs one instance with one thread per core. Triton's onnxruntime backend is the stand-in of
    :mod:`tokenward.deploy.local_triton`: a process of its own, to which tensors are copied, where the real one runs
    inside the server; the self-contained model has no such hop.

    Raises:
        InputError: fewer texts than clients.
        EngineError, LocalTritonError: a server did not start.
    """
    if len(texts) < max(clients):
        raise InputError(f"{len(texts)} texts are too few for {max(clients)} clients: give a file with some hundred")
    threads = usable_cores()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tokenward-bench-"))
        write_repository(artifact, folder, TritonSettings("guard"))
        write_repository(artifact, folder, TritonSettings("alone", self_contained=True))
        triton = stack.enter_context(LocalTriton(folder))
        own = stack.enter_context(served(artifact))
        guard = load(artifact, options=GuardOptions(threads=threads))
        triton_http = ("127.0.0.1", triton.ports.http)
        ways: dict[str, Callable[[int], Awaitable[Load]]] = {
            IN_PROCESS: lambda count: _in_process(guard, texts, count),
            OWN_HTTP: lambda count: _over_http(own.address, "tokenward", texts, count),
            TRITON_HTTP: lambda count: _over_http(triton_http, "guard", texts, count),
            TRITON_GRPC: lambda count: _over_grpc(triton.grpc_url, "guard", texts, count),
            ALONE_GRPC: lambda count: _over_grpc(triton.grpc_url, "alone", texts, count),
        }
        runs = [_Run(name, count, way) for name, way in ways.items() for count in clients]
        seconds = alternate([System(run.title, run.run) for run in runs], rounds, progress=progress)
    rows = (_row(run, seconds, len(texts)) for run in runs)
    return TritonReport(tuple(rows), len(texts), rounds, threads)


class _Run:
    """One way with one number of clients, and what its clients saw the last time."""

    def __init__(self, name: str, clients: int, way: Callable[[int], Awaitable[Load]]) -> None:
        self.name, self.clients, self._way = name, clients, way
        self.load = Load()

    @property
    def title(self) -> str:
        return f"{self.name}, {self.clients} clients"

    def run(self) -> None:
        async def once() -> Load:
            return await self._way(self.clients)

        self.load = run_load(once())


def _row(run: _Run, seconds: dict[str, list[float]], texts: int) -> HopRow:
    rates = spread([texts / second for second in seconds[run.title]])
    relative = ratio(seconds, run.title, f"{IN_PROCESS}, {run.clients} clients")
    latencies = (run.load.percentile(50), run.load.percentile(95), run.load.percentile(99))
    return HopRow(run.name, run.clients, rates, relative, latencies)


async def _in_process(guard: Guard, texts: Sequence[str], clients: int) -> Load:
    async with AsyncGuard(guard) as engine:

        async def ask(number: int) -> int:
            await engine.classify(texts[number])
            return 200

        return await _loop(ask, len(texts), clients)


async def _over_http(address: Address, model: str, texts: Sequence[str], clients: int) -> Load:
    return await closed_loop(address, [_v2_request(model, text) for text in texts], clients)


async def _over_grpc(url: str, model: str, texts: Sequence[str], clients: int) -> Load:
    """Requests are made beforehand and answers not unpacked, so that the servers get the processor."""
    service, stubs = (require(f"tritonclient.grpc.{name}", "triton") for name in ("service_pb2", "service_pb2_grpc"))
    requests = [_grpc_request(service, model, text) for text in texts]
    async with require("grpc", "triton").aio.insecure_channel(url) as channel:
        infer = stubs.GRPCInferenceServiceStub(channel).ModelInfer

        async def ask(number: int) -> int:
            await infer(requests[number])
            return 200

        return await _loop(ask, len(texts), clients)


async def _loop(ask: Ask, count: int, clients: int) -> Load:
    """Closed loop, as :func:`closed_loop` for HTTP."""
    result, waiting = Load(), iter(range(count))

    async def client() -> None:
        for number in waiting:
            begin = perf_counter()
            result.add(await ask(number), perf_counter() - begin)

    begin = perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    result.seconds = perf_counter() - begin
    return result


def _v2_request(model: str, text: str) -> bytes:
    """A whole HTTP request of the v2 protocol, asking for the verdict."""
    entry = {"name": "TEXT", "datatype": "BYTES", "shape": [1, 1], "data": [text]}
    body = json.dumps({"inputs": [entry], "outputs": [{"name": "VERDICT"}]}).encode()
    head = f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    return head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


def _grpc_request(service: Any, model: str, text: str) -> Any:
    request = service.ModelInferRequest(model_name=model)
    request.inputs.add(name="TEXT", datatype="BYTES", shape=[1, 1])
    request.outputs.add(name="VERDICT")
    raw = text.encode()
    request.raw_input_contents.append(len(raw).to_bytes(4, "little") + raw)
    return request
