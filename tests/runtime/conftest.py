"""An engine whose batches a test can hold back, break and count."""

from __future__ import annotations

import asyncio
from threading import Event

import pytest

from tokenward.runtime.engine import Arrays, Batch, Engine
from tokenward.runtime.guard import Guard


class ControlledEngine:
    """Runs another engine when it may."""

    name = "controlled"

    def __init__(self, inner: Engine) -> None:
        self.inner = inner
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
