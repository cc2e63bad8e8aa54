"""What all routes share: the engine with its limits, the metrics and the audit log."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from threading import Thread
from typing import TypeVar

from starlette.requests import Request
from starlette.types import Message

from .batching import AsyncGuard
from .calls import Answer
from .guard import Guard
from .metrics import Metrics
from .server_errors import Refusal
from .settings import ServeSettings
from .v2_tensors import RequestOptions

T = TypeVar("T")

_log = logging.getLogger("tokenward")

AUDIT_SECONDS = 5.0  # that shutting down waits for the lines of the audit log that are not written yet


class Service:
    """One server.

    Args:
        settings: of the server.
        guard: a guard that is loaded already, or what loads one on start; None loads what the settings say.

    Attributes:
        draining: the server has been told to stop and accepts nothing more.
    """

    def __init__(self, settings: ServeSettings, guard: Guard | Callable[[], Guard] | None = None) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.engine = AsyncGuard(guard or settings.load_guard, settings.batching_options(), observer=self.metrics)
        self.draining = False
        self._audit = settings.audit()
        self._writer: Thread | None = None

    async def __aenter__(self) -> Service:
        """Load what is not loaded yet, and warm up."""
        await self.engine.__aenter__()
        if judge := self.guard.judge:
            self.metrics.watch(judge.gates)
        if self._audit:
            self._writer = self._audit.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Finish what was accepted."""
        self.draining = True
        await self.engine.aclose(self.settings.grace_seconds)
        if self._audit and self._writer:
            await asyncio.to_thread(self._audit.stop, self._writer, AUDIT_SECONDS)
        if self.settings.cache_file:
            try:
                self.guard.cache.save(self.settings.cache_file)
            except OSError as error:
                _log.error("outcomes cannot be kept in '%s': %s", self.settings.cache_file, error.strerror)

    @property
    def guard(self) -> Guard:
        """The loaded guard."""
        return self.engine.guard

    async def classify(self, request: Request, texts: Sequence[str], options: RequestOptions) -> Answer:
        """Check the limits, ask the engine, log what is suspicious.

        Raises:
            Refusal: a limit is exceeded, or the client has gone.
            TokenwardError: as :meth:`AsyncGuard.answer`.
        """
        self.check_count(len(texts))
        try:
            self._check(texts, options)
        except Refusal:
            self.metrics.lost(len(texts), "refused")
            raise
        work = self.engine.answer(texts, options.mode, options.explain, options.truncate)
        answer = await self._unless_gone(request, work)
        if self._audit:
            for text, verdict in zip(texts, answer.verdicts, strict=True):
                self._audit.record(request.state.request_id, text, verdict, options.mode)
        return answer if options.explain else replace(answer, verdicts=[v.unquoted() for v in answer.verdicts])

    async def ready(self) -> bool:
        """Whether requests should be sent here."""
        return not self.draining and await self.engine.responsive(self.settings.probe_seconds)

    def knows(self, token: str) -> bool:
        """Whether a caller's token is the right one, in a time that does not depend on where they differ."""
        expected = self.settings.token
        given = token.encode("utf-8", "surrogatepass")
        return expected is None or hmac.compare_digest(given, expected.get_secret_value().encode())

    def check_count(self, texts: int) -> None:
        """Refuse a request of too many texts, before they are looked at.

        Raises:
            Refusal: saying how many are read.
        """
        if texts > self.settings.max_texts:
            self.metrics.lost(texts, "refused")  # the engine, which counts the others, never hears of them
            most = self.settings.max_texts
            raise Refusal(413, "too_many_texts", f"{texts} texts, at most {most} in one request")

    def _check(self, texts: Sequence[str], options: RequestOptions) -> None:
        settings = self.settings
        if settings.lock_mode and options.mode != settings.mode:
            raise Refusal(403, "mode_locked", f"this server answers in mode {settings.mode} only: leave the mode out")
        for number, text in enumerate(texts):
            if len(text) > settings.max_characters:
                raise Refusal(
                    413,
                    "text_too_long",
                    f"text {number} has {len(text)} characters, at most {settings.max_characters} are read: shorten it",
                )

    async def _unless_gone(self, request: Request, work: Awaitable[T]) -> T:
        """Await ``work``, but cancel it when the client goes away: nobody is left to read the answer."""
        task, waiting = asyncio.current_task(), True

        def give_up(watch: asyncio.Future[Message]) -> None:
            if waiting and task and not watch.cancelled():
                task.cancel()

        watch = asyncio.ensure_future(request.receive())  # the body has been read: what comes next is the disconnect
        watch.add_done_callback(give_up)
        try:
            return await work
        except asyncio.CancelledError:
            if watch.done() and not watch.cancelled():
                raise Refusal(499, "client_gone", "the client closed the connection") from None
            raise  # it is the server that gives up
        finally:
            waiting = False
            watch.cancel()
