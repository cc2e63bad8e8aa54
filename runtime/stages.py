"""One stage of the pipeline: threads that do jobs for an event loop, each one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")

_Job = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], Any]]


class Stage:
    """Daemon threads: if a job never returns, the process can still exit (an executor's threads would be waited for).

    Args:
        name: of the threads.
        threads: jobs that run at the same time.
    """

    def __init__(self, name: str, threads: int = 1) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads = threads
        for _ in range(threads):
            Thread(target=self._work, name=f"tokenward-{name}", daemon=True).start()

    async def run(self, job: Callable[[], T]) -> T:
        """Run ``job`` on a thread and return its result or raise its exception."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put((loop, future, job))
        return await future

    def stop(self) -> None:
        """End the threads after the jobs they have; do not wait for them."""
        for _ in range(self._threads):
            self._jobs.put(None)

    def _work(self) -> None:
        while job := self._jobs.get():
            loop, future, call = job
            try:
                result, error = call(), None
            except BaseException as caught:  # whatever it is, the caller must hear of it
                result, error = None, caught
            with suppress(RuntimeError):  # the loop has been closed: nobody is waiting any more
                loop.call_soon_threadsafe(_settle, future, result, error)
            del job, future, call, result, error  # or a large batch would live until the next one


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
