"""HTTP on one connection, what uvicorn leaves open: slow clients, endless headers, plain refusals, offered upgrades."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from http import HTTPStatus
from secrets import token_hex
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .server_envelope import HEADERS
from .server_lingering import LINGER_SECONDS, Lingering

HEADER_BYTES = 65_536  # of a header, and of what follows a body in chunks
PIPELINED = 100  # requests that a client may send without waiting for answers; each waits in memory


class Connection(HttpToolsProtocol):
    """Closes a connection whose header does not arrive in time or does not end; ignores offers of other protocols.

    Java's client, and curl with ``--http2``, offer HTTP/2 with every plain request. A server may ignore that, but the
    parser skips the body of such a request. So the request is parsed again without the offer.

    Args:
        header_seconds: counted from the header's first byte, and for a connection's first request from connecting.
            Idle connections that are kept alive have a limit of their own.
        read_seconds: in which a client must take what has been written; until it does, that fills memory.
        options: what uvicorn gives to a protocol; its application is that of :func:`.server.create_app`.
    """

    def __init__(self, *, header_seconds: float, read_seconds: float, **options: Any) -> None:
        super().__init__(**options)
        self._header_seconds = header_seconds
        self._read_seconds = read_seconds
        self._alarm: asyncio.TimerHandle | None = None
        self._cycles: deque[Any] = deque()  # requests in order, from the first that is not answered
        self._arriving: Any = None  # that of them whose body is not complete
        self._refusal: tuple[int, str, str] | None = None  # what comes after the answers that are due
        self._unread: asyncio.TimerHandle | None = None  # runs while a client does not take what has been written
        self._offers_upgrade = False
        self._headers_size = 0  # of the address, and the lines that have ended
        self._without_body = 0  # bytes that have arrived since there was any body or a message was complete
        self._receiving = False  # a message has begun and is not complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start waiting for the first header."""
        self._lingering = Lingering(transport, lambda: self._receiving, LINGER_SECONDS)
        super().connection_made(self._lingering)  # type: ignore[arg-type]
        self._await_header()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._header_arrived()
        self._has_read()
        self._lingering.closed()
        self._leave_unanswered()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait for a client that does not read, but not for ever."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self._read_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on writing."""
        self._has_read()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived; what comes after a refusal is thrown away."""
        if self.transport.is_closing() or self._refusal:
            return
        self._unset_keepalive_if_required()
        if self._alarm is None and self._answered():
            self._await_header()
        self._without_body += len(data)
        rest: memoryview | None = memoryview(data)
        try:
            while rest is not None:
                rest = self._parse(rest)
        except httptools.HttpParserError:
            if self._headers_size <= HEADER_BYTES and not self._refusal:
                self.send_400_response("this is no HTTP request: send HTTP/1.1")
        if max(self._headers_size, self._without_body) > HEADER_BYTES:
            self._refuse(431, "header_too_large", f"the header has more than {HEADER_BYTES} bytes: send a shorter one")

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be parsed."""
        self._refuse(400, "bad_request", msg)

    def on_message_begin(self) -> None:
        """Count anew."""
        self._receiving = True
        self._headers_size = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a part of the address in."""
        self._grow(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header in, or a trailer."""
        self._grow(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """Take a part of the body in, which has a limit of its own."""
        self._without_body = 0
        super().on_body(body)

    def on_headers_complete(self) -> None:
        """Start answering."""
        self._header_arrived()
        self._offers_upgrade = self.parser.should_upgrade()
        if self._offers_upgrade:
            return
        if len(self._cycles) >= PIPELINED:
            self._refuse(429, "too_many_requests", f"{PIPELINED} requests wait on this connection: read their answers")
            raise ValueError("too many requests")  # the parser stops
        super().on_headers_complete()
        self._cycles.append(self.cycle)
        self._arriving = self.cycle
        self._forget_answered()

    def on_response_complete(self) -> None:
        """Go on with the next request, or refuse what came after the last."""
        super().on_response_complete()
        self._forget_answered()
        if self._refusal and not self._due():
            self._refuse(*self._refusal)

    def on_message_complete(self) -> None:
        """Note that the body is there."""
        self._receiving = False
        self._arriving = None
        self._without_body = 0
        if self._offers_upgrade:
            return
        super().on_message_complete()
        if self._answered():  # it was refused before it had arrived: only now is the connection idle
            self._header_arrived()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _grow(self, size: int) -> None:
        self._headers_size += size
        if self._headers_size > HEADER_BYTES:
            raise ValueError("too much header")  # the parser stops

    def _parse(self, data: memoryview) -> memoryview | None:
        """Parse up to the end, or up to the end of a header that offers an upgrade; then the rest comes back."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as stop:
            if self.parser.get_method() == b"CONNECT":
                self.send_400_response("This is no proxy.")
                return None
            header = self._without_upgrade()
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
            self.parser.feed_data(header)
            return data[stop.args[0] :]
        return None

    def _without_upgrade(self) -> bytes:
        head = [self.parser.get_method(), b" ", self.url, b" HTTP/", self.parser.get_http_version().encode(), b"\r\n"]
        for name, value in self.headers:
            if name == b"connection":
                value = b",".join(part for part in value.split(b",") if part.strip().lower() != b"upgrade")
            head += [name, b": ", value, b"\r\n"]
        return b"".join([*head, b"\r\n"])

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Answer as the rest of the server does, once what came before is answered, and close the connection."""
        if self.transport.is_closing():
            return
        if self._due():
            self._refusal = status, code, message
            return
        self._receiving = True  # as far as can be told: there is no sense in what comes
        request_id = token_hex(16)
        body = json.dumps({"error": message, "code": code, "request_id": request_id}).encode()
        headers = {
            b"content-type": b"application/json",
            b"content-length": str(len(body)).encode(),
            b"connection": b"close",
            b"x-request-id": request_id.encode(),
            **dict(HEADERS),
        }
        head = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode(), *(b": ".join(h) for h in headers.items())]
        self.transport.write(b"\r\n".join([*head, b"", body]))
        self.transport.close()
        self._leave_unanswered()
        self.app.state.service.metrics.request_done("other", code)  # it is one of create_app

    def _forget_answered(self) -> None:
        while self._cycles and self._cycles[0].response_complete:
            self._cycles.popleft()

    def _leave_unanswered(self) -> None:
        """Tell all requests that nothing more can be written; uvicorn tells the latest alone, when all is over."""
        for cycle in self._cycles:
            cycle.disconnected = True
            cycle.message_event.set()

    def _due(self) -> bool:
        """Whether a request that has arrived whole waits for its answer."""
        return any(not cycle.response_complete for cycle in self._cycles if cycle is not self._arriving)

    def _answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _await_header(self) -> None:
        self._alarm = self.loop.call_later(self._header_seconds, self._give_up)

    def _header_arrived(self) -> None:
        if self._alarm:
            self._alarm.cancel()
            self._alarm = None

    def _has_read(self) -> None:
        if self._unread:
            self._unread.cancel()
            self._unread = None

    def _give_up(self) -> None:
        self._alarm = None
        self.transport.abort()  # it has had its time, and there is no answer to be lost
