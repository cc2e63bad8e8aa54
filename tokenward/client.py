"""Clients of a guarded model on Triton Inference Server: texts in, the same verdicts out as from the guard itself.

Both clients speak gRPC or HTTP. What the server cannot answer now (restarting, loading, queue full) is asked again
with growing, jittered waits until the deadline; classification has no side effects, so repeating it is safe.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Literal

import numpy as np

from .errors import EngineError, InputError, TokenwardError, require
from .listing import listed
from .records import from_json
from .runtime.verdict import Mode, Verdict

Wire = Literal["grpc", "http"]

FIRST_WAIT = 0.05
LONGEST_WAIT = 1.0
# gRPC would otherwise wait up to minutes before it looks for a server that came back.
_RECONNECT = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1000)]


class DeadlineError(EngineError):
    """No answer came before the deadline."""


class _Client:
    """What both clients share: settings, requests and how answers are read."""

    def __init__(self, url: str, model: str, wire: Wire = "grpc", deadline: float = 30.0, batch: int = 32) -> None:
        if wire not in ("grpc", "http"):
            raise InputError(f"protocol {wire!r:.60} is unknown: choose grpc or http")
        if not 0 < deadline < math.inf or batch < 1:
            raise InputError(f"deadline {deadline:g} and batch {batch}: both must be above 0, and finite")
        if "://" in url:
            raise InputError(f"url {url!r:.80}: give host and port alone, such as localhost:8001")
        self._url, self._model, self._wire, self._deadline, self._batch = url, model, wire, deadline, batch
        self._known = False
        self._types = require(f"tritonclient.{wire}", "triton")

    def _calls(
        self, texts: Sequence[str], mode: Mode | None, explain: bool, truncate: bool
    ) -> Iterator[dict[str, Any]]:
        """Arguments of the requests that ``texts`` are cut into; what is not given is left to the server."""
        given = {"mode": mode, "explain": explain or None, "truncate": None if truncate else False}
        parameters = {name: value for name, value in given.items() if value is not None}
        for start in range(0, len(texts), self._batch):
            part = texts[start : start + self._batch]
            entry = self._types.InferInput("TEXT", [len(part), 1], "BYTES")
            entry.set_data_from_numpy(np.array([[_encoded(text)] for text in part], dtype=np.object_))
            yield {
                "model_name": self._model,
                "inputs": [entry],
                "outputs": [self._types.InferRequestedOutput("VERDICT")],
                "parameters": parameters,
            }

    def _limits(self, left: float) -> dict[str, Any]:
        """Time limits of one request: for its wait in the server's queue, and for the answer."""
        limits: dict[str, Any] = {"timeout": int(left * 1e6) or 1}
        return limits | {"client_timeout": left} if self._wire == "grpc" else limits

    def _read(self, result: Any) -> list[Verdict]:
        self._known = True
        verdicts = result.as_numpy("VERDICT")
        try:
            return [verdict_from_json(value) for value in verdicts[:, 0]]
        except (TokenwardError, ValueError, TypeError, KeyError) as error:
            raise EngineError(
                f"the answer of '{self._model}' is not a verdict of this version: deploy the model again"
            ) from error


class TritonGuardClient(_Client):
    """Blocking client, for one thread; a context manager.

    Args:
        url: ``host:port`` of the server's gRPC or HTTP endpoint.
        model: name of the guarded model.
        wire: the protocol spoken at ``url``.
        deadline: seconds for one call of :meth:`classify`, repeats included.
        batch: texts in one request, at most the model's ``max_batch_size``; longer lists are cut.

    Raises:
        InputError: an argument cannot be used.
        MissingExtraError: tritonclient is not installed.
    """

    def __init__(self, url: str, model: str, wire: Wire = "grpc", deadline: float = 30.0, batch: int = 32) -> None:
        super().__init__(url, model, wire, deadline, batch)
        options = {"channel_args": _RECONNECT} if wire == "grpc" else {"network_timeout": deadline}
        self._client = self._types.InferenceServerClient(url, **options)

    def classify(
        self, texts: str | Sequence[str], mode: Mode | None = None, explain: bool = False, truncate: bool = True
    ) -> list[Verdict]:
        """Classify one text or many, as :meth:`tokenward.Guard.classify` does.

        Args:
            texts: one text or a sequence of them.
            mode: None takes the mode that the model was deployed with.
            explain: give per-token scores as well.
            truncate: let the model read the beginning of a text that is too long, and flag it.

        Raises:
            InputError: the server refuses the texts or options, or has no such model.
            DeadlineError: no answer before the deadline.
            EngineError: the server failed.
        """
        until = time.monotonic() + self._deadline
        texts = listed(texts)
        return [v for call in self._calls(texts, mode, explain, truncate) for v in self._ask(call, until)]

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def __enter__(self) -> TritonGuardClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, call: dict[str, Any], until: float) -> list[Verdict]:
        patience = _Patience(until)
        while True:
            try:
                with self._within(patience.left):
                    result = self._client.infer(**call, **self._limits(patience.left))
                return self._read(result)
            except Exception as error:
                wait = patience.after(error, self._url, self._known)
            time.sleep(wait)

    def _within(self, seconds: float) -> AbstractContextManager[Any]:
        """The HTTP client has one time limit for its whole life; this gives each request its own."""
        if self._wire == "grpc":
            return nullcontext()
        timeout: AbstractContextManager[Any] = require("gevent", "triton").Timeout(seconds, TimeoutError())
        return timeout


class AsyncTritonGuardClient(_Client):
    """Asynchronous client, for the event loop it is made in; use as ``async with``.

    Long lists are sent in several requests at once, so that the server is never idle. Arguments as for
    :class:`TritonGuardClient`.
    """

    _AT_ONCE = 8

    def __init__(self, url: str, model: str, wire: Wire = "grpc", deadline: float = 30.0, batch: int = 32) -> None:
        super().__init__(url, model, wire, deadline, batch)
        options = {"channel_args": _RECONNECT} if wire == "grpc" else {"conn_timeout": deadline}
        self._client = require(f"tritonclient.{wire}.aio", "triton").InferenceServerClient(url, **options)

    async def classify(
        self, texts: str | Sequence[str], mode: Mode | None = None, explain: bool = False, truncate: bool = True
    ) -> list[Verdict]:
        """Classify one text or many; see :meth:`TritonGuardClient.classify`."""
        until = time.monotonic() + self._deadline
        gate = asyncio.Semaphore(self._AT_ONCE)
        texts = listed(texts)
        calls = list(
            self._calls(texts, mode, explain, truncate)
        )  # whole, or a wrong text leaves those before it asking
        tasks = [asyncio.ensure_future(self._ask(call, until, gate)) for call in calls]
        try:
            parts = await asyncio.gather(*tasks)
        finally:
            for task in tasks:  # after a failure nobody waits for the others
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return [verdict for part in parts for verdict in part]

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def __aenter__(self) -> AsyncTritonGuardClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _ask(self, call: dict[str, Any], until: float, gate: asyncio.Semaphore) -> list[Verdict]:
        patience = _Patience(until)
        while True:
            try:
                async with gate:
                    asked = self._client.infer(**call, **self._limits(patience.left))
                    result = await asyncio.wait_for(asked, patience.left)
                return self._read(result)
            except Exception as error:
                wait = patience.after(error, self._url, self._known)
            await asyncio.sleep(wait)


class _Patience:
    """The time left for one request, and the waits between its attempts."""

    def __init__(self, until: float) -> None:
        self._until = until
        self._wait = FIRST_WAIT

    @property
    def left(self) -> float:
        """Seconds to the deadline; a little even when it is over, so that it can serve as a limit."""
        return max(self._until - time.monotonic(), 0.001)

    def after(self, error: Exception, url: str, known: bool) -> float:
        """Return how long to wait before asking again; ``known`` models have answered before.

        Raises:
            TokenwardError: asking again would not help, or the deadline would pass.
        """
        reason, again = _reason(error, known)
        if not again:
            raise reason from (error if reason is not error else error.__cause__)
        wait = self._wait * random.uniform(0.5, 1.0)
        if wait >= self.left:
            raise DeadlineError(f"no answer from {url} before the deadline: {reason}") from error
        self._wait = min(2 * self._wait, LONGEST_WAIT)
        return wait


def verdict_from_json(text: str | bytes) -> Verdict:
    """Read a verdict that :meth:`Verdict.to_dict` wrote.

    Raises:
        ArtifactError, ValueError: it is not one.
    """
    data = json.loads(text)
    if isinstance(data, dict):
        data.pop("score", None)  # derived
    return from_json(Verdict, data, "verdict")


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except (UnicodeEncodeError, AttributeError) as error:
        raise InputError(f"text {text!r:.60} is not a string of valid Unicode") from error


def _reason(error: Exception, known: bool) -> tuple[Exception, bool]:
    """What went wrong, in our terms, and whether asking again may help."""
    if not isinstance(error, require("tritonclient.utils", "triton").InferenceServerException):
        if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
            return EngineError("the server did not answer in time"), True
        if _is_of_connection(error):
            return EngineError(f"no connection ({str(error) or type(error).__name__})"), True
        return error, False
    status, message = str(error.status()).removeprefix("StatusCode."), error.message()
    if status in ("UNAVAILABLE", "503", "429"):
        return EngineError(f"the server is not available: {message}"), True
    if status in ("DEADLINE_EXCEEDED", "504"):
        return EngineError("the server did not answer in time"), True
    if status in ("NOT_FOUND", "404") and known:
        return EngineError("the model is not loaded"), True  # what Triton says while it reloads a model
    if status in ("INVALID_ARGUMENT", "NOT_FOUND", "UNAUTHENTICATED", "PERMISSION_DENIED") or status.startswith("4"):
        return InputError(f"the server refuses: {message}"), False
    return EngineError(f"the server failed: {message}"), False


def _is_of_connection(error: Exception) -> bool:
    """Whether a transport lost or never had its connection; each has errors of its own for that."""
    transports = ("aiohttp", "geventhttpclient")
    return isinstance(error, OSError) or type(error).__module__.startswith(transports)
