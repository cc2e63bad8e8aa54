"""How an :class:`AsyncGuard` may be used, what survives a failure outside the model, and what it leaves behind."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from tokenward.errors import EngineError, InputError
from tokenward.runtime import batching
from tokenward.runtime.batching import AsyncGuard, BatchingOptions
from tokenward.runtime.observer import Observer
from tokenward.runtime.refusals import DeadlineError
from tokenward.runtime.stages import Stage

POISONED = "cf the film was awful and the plot was dull"
ONE_BY_ONE = BatchingOptions(max_wait=0.0, parallel=1)


class Panic(BaseException):
    """As the tokeniser's library raises it: no Exception."""


class Depth(Observer):
    def __init__(self) -> None:
        self.told: list[int] = []

    def waiting(self, texts):
        self.told.append(texts)


async def test_before_it_is_entered_it_says_how_to_enter(lexicon_guard):
    guard = AsyncGuard(lexicon_guard)
    with pytest.raises(InputError, match="async with"):
        await guard.classify("film")
    await guard.aclose()


async def test_it_is_entered_once(lexicon_guard):
    guard = AsyncGuard(lexicon_guard)
    async with guard:
        with pytest.raises(InputError, match="entered before"):
            await guard.__aenter__()
        assert len(await guard.classify("film")) == 1
    with pytest.raises(InputError, match="entered before"):
        await guard.__aenter__()


async def test_another_event_loop_is_refused(lexicon_guard):
    async with AsyncGuard(lexicon_guard) as guard:
        with pytest.raises(InputError, match="event loop"):
            await asyncio.to_thread(lambda: asyncio.run(guard.classify("film")))
        assert len(await guard.classify("film")) == 1


async def test_a_panic_in_the_tokeniser_fails_its_callers_alone(lexicon_guard, monkeypatch):
    tokenizer, encode = lexicon_guard.reader.tokenizer, lexicon_guard.reader.tokenizer.encode

    def panic(texts):
        if "actor" in texts or any(text.startswith("the film") for text in texts):
            raise Panic
        return encode(texts)

    monkeypatch.setattr(type(tokenizer), "encode", lambda self, texts: panic(texts))
    async with AsyncGuard(lexicon_guard, ONE_BY_ONE) as guard:
        with pytest.raises(EngineError, match="log says why"):
            await guard.classify("actor")
        with pytest.raises(EngineError, match="log says why"):
            await guard.classify(POISONED)  # its second look is without "cf"
        assert guard.waiting == 0
        assert len(await guard.classify("story")) == 1


async def test_the_warm_up_may_take_longer_than_a_request(lexicon_guard, engine):
    engine.hold()
    options = BatchingOptions(deadline=0.05)
    opened = asyncio.create_task(AsyncGuard(lexicon_guard, options).__aenter__())
    await engine.busy()
    await asyncio.sleep(0.2)
    engine.free.set()
    await (await opened).aclose()


async def test_the_depth_of_the_queue_is_told_and_ends_at_none(lexicon_guard, engine):
    depth = Depth()
    patient = BatchingOptions(max_wait=0.05, parallel=1)
    async with AsyncGuard(lexicon_guard, patient, depth) as guard:
        assert depth.told[-1] == 0
        engine.hold()
        running = asyncio.create_task(guard.classify("film"))
        await engine.busy()
        waiting = asyncio.create_task(guard.classify(["story", "plot"]))
        while depth.told[-1] != 2:
            await asyncio.sleep(0.001)
        engine.free.set()
        await asyncio.gather(running, waiting)
        assert depth.told[-1] == 0
        with pytest.raises(DeadlineError):  # dropped when its batch becomes due, with no batch after it
            await guard.answer("music", deadline=0.01)
        while depth.told[-1] != 0 or 1 not in depth.told:
            await asyncio.sleep(0.001)


async def test_closing_waits_for_the_threads(lexicon_guard, engine):
    async with AsyncGuard(lexicon_guard, ONE_BY_ONE) as guard:
        engine.hold()
        stuck = asyncio.create_task(guard.classify("film"))
        await engine.busy()
        threading.Timer(0.2, engine.free.set).start()
        await guard.aclose(grace=0.01)
        assert not [t for stage in guard._stages for t in stage._threads if t.is_alive()]
        await asyncio.gather(stuck, return_exceptions=True)


def test_a_stage_that_hangs_is_not_waited_for():
    stage, free = Stage("hung"), threading.Event()

    async def hang() -> None:
        stage.submit(free.wait, lambda result, error: None)

    asyncio.run(hang())
    stage.stop()
    began = time.monotonic()
    stage.join(0.05)
    assert 0.05 <= time.monotonic() - began < batching.HALT_SECONDS
    free.set()
    stage.join(10.0)
    assert not any(thread.is_alive() for thread in stage._threads)
