"""An engine whose batches a test can hold back, break and count, and servers over the lexicon classifier."""

from __future__ import annotations

import asyncio
import json
import time
from threading import Event, Thread

import httpx
import pytest
import uvicorn

from tokenward.runtime.engine import Arrays, Batch, Engine
from tokenward.runtime.guard import Guard
from tokenward.runtime.server import create_app, uvicorn_options
from tokenward.runtime.service import Service
from tokenward.runtime.settings import ServeSettings
from tokenward.runtime.verdict import Verdict


class ControlledEngine:
    """Runs another engine when it may."""

    name = "controlled"

    def __init__(self, inner: Engine) -> None:
        self.inner = inner
        self.cost = inner.cost
        self.batches: list[tuple[int, int]] = []
        self.errors: list[Exception] = []
        self.entered = Event()
        self.free = Event()
        self.free.set()

    def run(self, batch: Batch, gate: float) -> Arrays:
        self.batches.append(batch.input_ids.shape)
        self.entered.set()
        self.free.wait()
        if self.errors:
            raise self.errors.pop()
        return self.inner.run(batch, gate)

    def hold(self) -> None:
        """Let the next batch begin but not end."""
        self.entered.clear()
        self.free.clear()

    async def busy(self) -> None:
        """Wait until a batch has begun."""
        await asyncio.to_thread(self.entered.wait)


@pytest.fixture
def engine(lexicon_guard: Guard):
    controlled = ControlledEngine(lexicon_guard.reader.engine)
    lexicon_guard.reader.engine = controlled
    yield controlled
    controlled.free.set()


def _settled(verdict: Verdict | dict, number=float) -> dict:
    """A verdict as JSON without what depends on earlier texts (whether the cache knew an outcome) or on who asks."""
    fields = verdict.to_dict() if isinstance(verdict, Verdict) else verdict
    fields = json.loads(json.dumps(fields), parse_float=number)
    for confirmation in fields["confirmations"]:
        del confirmation["cached"], confirmation["references"]
    return fields


@pytest.fixture(scope="session")
def assert_same_verdicts():
    """Compare verdicts, or their JSON; sums over rows of another width differ in their last digits."""

    def compare(got, expected) -> None:
        near = lambda digits: pytest.approx(float(digits), abs=1e-5)  # noqa: E731
        assert [_settled(verdict) for verdict in got] == [_settled(verdict, near) for verdict in expected]

    return compare


class RunningServer:
    """A server in a thread of this process, on a free port."""

    def __init__(self, settings: ServeSettings, guard: Guard) -> None:
        self.app = create_app(settings, guard)
        self.service: Service = self.app.state.service
        config = uvicorn.Config(self.app, **{**uvicorn_options(settings), "port": 0, "log_level": "error"})
        self._server = uvicorn.Server(config)
        self._thread = Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
            time.sleep(0.005)
        self.address: tuple[str, int] = self._server.servers[0].sockets[0].getsockname()
        self.url = "http://{}:{}".format(*self.address)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()


@pytest.fixture
def start(lexicon_guard: Guard):
    """Start servers over the lexicon classifier with the settings given; they stop with the test."""
    servers = []

    def start_one(**settings: object) -> RunningServer:
        servers.append(RunningServer(ServeSettings(artifact="lexicon", **settings), lexicon_guard))
        return servers[-1]

    yield start_one
    for server in servers:
        server.stop()


@pytest.fixture
def client(start):
    """A client of a server with default settings."""
    with httpx.Client(base_url=start().url) as client:
        yield client
