"""HTTP on one connection: what uvicorn leaves open (slow headers) and what its parser gets wrong (offered upgrades)."""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Connection(HttpToolsProtocol):
    """Closes a connection whose header does not arrive in time, and ignores offers to speak another protocol.

    Java's client, and curl with ``--http2``, offer HTTP/2 with every plain request. A server may ignore that, but the
    parser skips the body of such a request. So the request is parsed again without the offer.

    Args:
        header_seconds: counted from the header's first byte, and for a connection's first request from connecting.
            Idle connections that are kept alive have a limit of their own.
        options: what uvicorn gives to a protocol.
    """

    def __init__(self, *, header_seconds: float, **options: Any) -> None:
        super().__init__(**options)
        self._header_seconds = header_seconds
        self._alarm: asyncio.TimerHandle | None = None
        self._offers_upgrade = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start waiting for the first header."""
        super().connection_made(transport)
        self._await_header()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._header_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived."""
        self._unset_keepalive_if_required()
        if self._alarm is None and self._answered():
            self._await_header()
        rest: memoryview | None = memoryview(data)
        try:
            while rest is not None:
                rest = self._parse(rest)
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")

    def on_headers_complete(self) -> None:
        """Start answering."""
        self._header_arrived()
        self._offers_upgrade = self.parser.should_upgrade()
        if not self._offers_upgrade:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that the body is there."""
        if self._offers_upgrade:
            return
        super().on_message_complete()
        if self._answered():  # it was refused before it had arrived: only now is the connection idle
            self._header_arrived()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

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

    def _answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _await_header(self) -> None:
        self._alarm = self.loop.call_later(self._header_seconds, self._give_up)

    def _header_arrived(self) -> None:
        if self._alarm:
            self._alarm.cancel()
            self._alarm = None

    def _give_up(self) -> None:
        self._alarm = None
        if not self.transport.is_closing():
            self.transport.close()
