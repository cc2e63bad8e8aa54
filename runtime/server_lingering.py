"""Closing a connection on which the client is still sending, so that the answer to what it sends is not lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

LINGER_SECONDS = 5.0


class Lingering:
    """A transport that waits for the client before it closes, where that is needed.

    A socket that is closed with unread data resets the connection, and the client loses what was written to it. So only
    the server's side is closed; what the client sends is thrown away until it closes its own, or its time is up.

    Args:
        transport: of the connection; what is not defined here is its own.
        needed: whether the client may still be sending.
        seconds: that it gets.
    """

    def __init__(self, transport: asyncio.Transport, needed: Callable[[], bool], seconds: float) -> None:
        self._transport = transport
        self._needed = needed
        self._seconds = seconds
        self._alarm: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        return self._alarm is not None or self._transport.is_closing()

    def close(self) -> None:
        """Write what is left, then close."""
        if self.is_closing():
            return
        if not (self._needed() and self._transport.can_write_eof()):
            self._transport.close()
            return
        self._alarm = asyncio.get_running_loop().call_later(self._seconds, self._transport.abort)
        self._transport.write_eof()
        self._transport.resume_reading()

    def closed(self) -> None:
        """Note that the connection has ended."""
        if self._alarm:
            self._alarm.cancel()
