"""One stage of the pipeline: threads that do jobs for an event loop, each one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any, TypeVar

T = TypeVar("T")

Then = Callable[[T | None, BaseException | None], None]
"""Told the result of a job, or what it raised."""

_Job = tuple[asyncio.AbstractEventLoop, Callable[[], Any], Then[Any]]


class Stage:
    """Daemon threads: if a job never returns, the process can still exit (an executor's threads would be waited for).

    Args:
        name: of the threads.
        threads: jobs that run at the same time.
    """

    def __init__(self, name: str, threads: int = 1) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads = [Thread(target=self._work, name=f"tokenward-{name}", daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Callable[[], T], then: Then[T]) -> None:
        """Run ``job`` on a thread, and then call ``then`` on the running event loop, without a detour through tasks."""
        self._jobs.put((asyncio.get_running_loop(), job, then))

    async def run(self, job: Callable[[], T]) -> T:
        """Run ``job`` on a thread and return its result or raise its exception."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.submit(job, partial(_settle, future))
        return await future

    def stop(self) -> None:
        """End the threads after the jobs they have; do not wait for them."""
        for _ in self._threads:
            self._jobs.put(None)

    def join(self, seconds: float) -> None:
        """Wait for the threads to end, no longer than this."""
        until = monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - monotonic()))

    def _work(self) -> None:
        while waiting := self._jobs.get():
            loop, job, then = waiting
            try:
                result, error = job(), None
            except BaseException as caught:  # whatever it is, the caller must hear of it
                result, error = None, caught
            with suppress(RuntimeError):  # the loop has been closed: nobody is waiting any more
                loop.call_soon_threadsafe(then, result, error)
            del waiting, job, then, result, error  # or a large batch would live until the next one


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
