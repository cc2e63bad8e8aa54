"""The asynchronous guard: texts of many callers, merged into micro-batches, judged exactly as :class:`Guard` does.

Three stages on threads of their own, so that tokenising and judging overlap with the model: *pre* tokenises, *core*
runs batches, *post* judges readings. Texts that a judge asks for go back into the queue, before the others. All
bookkeeping happens on the event loop, and no batch waits for a task to be scheduled: the loop is busy with HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import monotonic

from ..errors import EngineError, InputError, TokenwardError
from ..listing import listed
from .batches import pad
from .batching_options import BatchingOptions as BatchingOptions  # offered from here, too
from .calls import Answer, Call, Case, Move
from .engine import Arrays
from .guard import Guard, GuardOptions, load
from .observer import Observer, Timing
from .parts import encode_parts, next_parts, taken_in
from .queueing import BatchQueue, Entry
from .reading import NotFiniteError, split
from .refusals import ClosingError, DeadlineError, OverloadedError, loss_of
from .stages import Stage
from .verdict import Mode, Verdict
from .warm_up import warm_up

_log = logging.getLogger("tokenward")

PROBE = "is anybody there"
WARM_UP_SECONDS = 300.0  # the first batches may compile kernels: no deadline of a request's
HALT_SECONDS = 2.0

Batch = list[Entry[Case]]


class AsyncGuard:
    """A guard for many concurrent callers on one event loop.

    ``async with AsyncGuard(path) as guard: await guard.classify([...])``. Entering loads the artifact, starts the
    stages, warms them up and runs one text through them; leaving finishes what was accepted.

    Args:
        source: an artifact folder, a guard that is loaded already, or a function that loads one.
        options: how callers share the engine.
        observer: hears of batches, verdicts and timings.
    """

    guard: Guard

    def __init__(
        self,
        source: Guard | str | Path | Callable[[], Guard],
        options: BatchingOptions | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.options = options or BatchingOptions()
        if isinstance(source, (str, Path)):
            source = partial(load, source, options=GuardOptions(threads=self.options.threads()))
        self._source = source
        self._observer = observer or Observer()
        self._calls: set[Call] = set()
        self._tokenising = 0  # texts accepted but not in the queue yet
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stages: list[Stage] = []
        self._alarm: asyncio.TimerHandle | None = None
        self._tokeniser: asyncio.Task[None] | None = None
        self._closing = self._stopped = False
        self._last_batch = -math.inf

    async def __aenter__(self) -> AsyncGuard:
        if self._loop:
            raise InputError("this guard has been entered before: make a new AsyncGuard")
        self._loop = asyncio.get_running_loop()
        self._pre, self._core, self._post = Stage("pre"), Stage("core", self.options.parallel), Stage("post")
        self._stages = [self._pre, self._core, self._post]
        self._idle = self.options.parallel  # core threads without a batch
        try:
            self.guard = self._source if isinstance(self._source, Guard) else await self._core.run(self._source)
            self._incoming: asyncio.Queue[Call] = asyncio.Queue()
            reader = self.guard.reader
            self._queue: BatchQueue[Case] = BatchQueue(reader.token_budget, self.options.max_wait, reader.engine.cost)
            self._tokeniser = asyncio.create_task(self._tokenise())
            await warm_up(self.guard, self.options.queue_texts, self._core, self.options.parallel, WARM_UP_SECONDS)
            await self._probe(WARM_UP_SECONDS)
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def classify(
        self, texts: str | Sequence[str], mode: Mode = "enforce", explain: bool = False, truncate: bool = True
    ) -> list[Verdict]:
        """Classify one text or many, as :meth:`Guard.classify` does; see :meth:`answer` for what else is raised."""
        return (await self.answer(texts, mode, explain, truncate)).verdicts

    async def answer(
        self,
        texts: str | Sequence[str],
        mode: Mode = "enforce",
        explain: bool = False,
        truncate: bool = True,
        deadline: float | None = None,
    ) -> Answer:
        """Verdicts with the time they took. Cancelling the call drops its texts from the queue.

        Args:
            texts, mode, explain, truncate: as in :meth:`Guard.classify`.
            deadline: seconds, instead of the one in the options.

        Raises:
            InputError, EngineError, ArtifactError: as :meth:`Guard.classify`.
            OverloadedError: the queue has no room for so many texts.
            DeadlineError: the verdicts were not there in time.
            ClosingError: the guard is closing.
        """
        texts = listed(texts)
        try:
            call = await self._ask(texts, mode, explain, truncate, deadline)
        except BaseException as error:
            self._observer.lost(len(texts), loss_of(error))
            raise
        for case in call.cases:
            if case.first and case.verdict:
                self._observer.judged(case.first, case.verdict, mode)
        answer = call.done.result()
        if texts:
            self._observer.answered(answer.timing)
        return answer

    async def _ask(
        self, texts: Sequence[str], mode: Mode, explain: bool, truncate: bool, deadline: float | None
    ) -> Call:
        """A call that has its answer; see :meth:`answer`, which tells of it as well."""
        if self._loop is not asyncio.get_running_loop():
            raise InputError("this guard serves the event loop that entered it: use 'async with AsyncGuard(...)' there")
        if self._closing:
            raise ClosingError("the server is shutting down: send the request to another one")
        call = Call(texts, self.guard.judge_for(mode), mode, explain, truncate, self._loop.create_future())
        if not texts:
            call.done.set_result(Answer([], Timing()))
            return call
        if len(texts) > self.options.queue_texts:
            raise InputError(
                f"{len(texts)} texts are more than the {self.options.queue_texts} that may wait: send fewer at a time"
            )
        waiting = self.waiting - self._queue.looks  # one caller's texts may need many
        if waiting + len(texts) > self.options.queue_texts:
            raise OverloadedError(f"{waiting} texts are waiting already: try again later")
        self._calls.add(call)
        self._tokenising += len(texts)
        self._incoming.put_nowait(call)
        seconds = self.options.deadline if deadline is None else deadline
        try:
            await asyncio.wait_for(call.done, seconds)
        except asyncio.TimeoutError as error:
            raise DeadlineError(f"no answer within {seconds:g} seconds: send less or try again later") from error
        finally:
            self._calls.discard(call)
        return call

    @property
    def waiting(self) -> int:
        """Texts that wait for the model."""
        return self._tokenising + len(self._queue)

    async def responsive(self, within: float) -> bool:
        """Whether the engine answers: it has run a batch in the last ``within`` seconds, or runs one in that time."""
        if monotonic() - self._last_batch <= within:
            return True
        try:
            await self._probe(within)
        except TokenwardError:
            return False
        return True

    async def _probe(self, seconds: float) -> None:
        await self._ask([PROBE], "off", False, True, seconds)  # nobody's text: it is not counted

    async def aclose(self, grace: float | None = None) -> None:
        """Accept nothing more, finish what was accepted (for ``grace`` seconds at most), stop the stages."""
        self._closing = True
        if self._calls:
            await asyncio.wait([call.done for call in self._calls], timeout=grace)
        for call in list(self._calls):
            call.fail(ClosingError("the server shut down before the answer was there: send the request again"))
        self._stopped = True
        if self._tokeniser:
            self._tokeniser.cancel()
            await asyncio.gather(self._tokeniser, return_exceptions=True)
        self.halt()

    def halt(self) -> None:
        """Stop the stages without regard for what they were to do; wait a little for what they are doing.

        A process that ends while a thread is inside ONNX Runtime is aborted.
        """
        self._stopped = True
        for stage in self._stages:
            stage.stop()
        until = monotonic() + HALT_SECONDS
        for stage in self._stages:
            stage.join(until - monotonic())

    # pre: texts to entries

    async def _tokenise(self) -> None:
        while True:
            parts = await next_parts(self._incoming)
            try:
                encoded = await self._pre.run(partial(encode_parts, self.guard.reader.tokenizer, parts))
                for part, encodings in zip(parts, encoded, strict=True):
                    self._queue.put(taken_in(part.call, encodings, self.guard))
            except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # a panic in the tokeniser is no Exception
                self._fail([part.call for part in parts], error)
            for call in (part.call for part in parts):
                if call.gone or call.cases:
                    self._tokenising -= len(call.texts)
                else:
                    self._incoming.put_nowait(call)  # behind the others, for its next part
            self._dispatch()

    # core: entries to arrays

    def _dispatch(self) -> None:
        """Start what is due, as far as there are threads; what arrives while all are busy makes the next batch larger.

        Called when something has been put into the queue, when a batch is done, and when one becomes due.
        """
        while self._idle > 0 and not self._stopped:
            self._queue.prune()
            due, now = self._queue.due(), monotonic()
            if due > now:
                if self._alarm:
                    self._alarm.cancel()
                if math.isfinite(due):
                    self._alarm = asyncio.get_running_loop().call_later(due - now, self._dispatch)
                break
            batch = self._queue.take(now)
            self._idle -= 1
            self._core.submit(partial(self._run, batch), partial(self._ran, batch, now))
        self._observer.waiting(self.waiting)

    def _run(self, batch: Batch) -> Arrays:
        reader = self.guard.reader
        return reader.engine.run(pad([entry.encoding for entry in batch], reader.tokenizer.pad_id), batch[0].gate)

    # post: arrays to verdicts, or to entries again

    def _ran(self, batch: Batch, started: float, arrays: Arrays | None, error: BaseException | None) -> None:
        self._idle += 1
        self._dispatch()  # first of all, or a core stands idle while this batch is seen to
        if arrays is None:
            self._fail_batch(batch, error)
            return
        self._last_batch = monotonic()
        job = partial(self._judge, batch, arrays, started, self._last_batch)
        self._post.submit(job, partial(self._judged, batch))

    def _judged(self, batch: Batch, moves: list[tuple[Case, Move]] | None, error: BaseException | None) -> None:
        if moves is None:
            self._fail_batch(batch, error)
            return
        lengths = [len(entry.encoding) for entry in batch]
        second = sum(entry.urgent for entry in batch)
        self._observer.batch_done(len(batch), sum(lengths), max(lengths) * len(batch), second)
        for case, move in moves:
            if isinstance(move, list):
                self._queue.put(move)
            elif isinstance(move, Exception):
                self._fail([case.call], move)
            elif not case.gone:
                case.call.settle(case, move, monotonic())
        self._dispatch()

    def _judge(self, batch: Batch, arrays: Arrays, started: float, read: float) -> list[tuple[Case, Move]]:
        moves: list[tuple[Case, Move]] = []
        reader, texts = self.guard.reader, [entry.text for entry in batch]
        readings = split(texts, [entry.encoding for entry in batch], arrays, reader.scales)
        for entry, reading in zip(batch, readings, strict=True):
            for case in entry.owners:
                if case.first is None:
                    case.started, case.read = started, read
                if case.gone:
                    continue
                if isinstance(reading, NotFiniteError):
                    moves.append((case, reading))
                else:
                    moves.append((case, case.advance(reading, reader.tokenizer)))
        return moves

    def _fail_batch(self, batch: Batch, error: BaseException | None) -> None:
        self._fail([case.call for entry in batch for case in entry.owners], error)

    def _fail(self, calls: Sequence[Call], error: BaseException | None) -> None:
        """End calls with an error; one that is not meant for people is told in general terms."""
        _log.error("the engine failed: %s", error, exc_info=error)
        if not isinstance(error, TokenwardError):
            error = EngineError("the engine failed on a batch: the server's log says why")
        for call in calls:
            call.fail(error)
