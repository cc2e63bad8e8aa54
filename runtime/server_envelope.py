"""The outermost layer: a request id, headers that every answer carries, one count per request, and the last resort."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from secrets import token_hex

from starlette.datastructures import Headers
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .server_errors import Refusal, error_response
from .service import Service

_log = logging.getLogger("tokenward")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_UNFORESEEN = Refusal(500, "internal", "something went wrong here: the server's log says what")
HEADERS = [  # of every answer
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"),
]


class Envelope:
    """ASGI middleware. A caller's own ``X-Request-Id`` is kept where it is harmless, and HEAD is answered as GET is.

    Args:
        app: what is inside.
        service: whose metrics count the request.
        routes: by which requests are counted.
    """

    def __init__(self, app: ASGIApp, service: Service, routes: Sequence[BaseRoute]) -> None:
        self.app = app
        self.service = service
        self.routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # the server below knows better, and sends no body
        given = Headers(scope=scope).get("x-request-id", "")
        state = scope.setdefault("state", {})
        state["request_id"] = given if _REQUEST_ID.fullmatch(given) else token_hex(16)
        state["outcome"] = "ok"
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", state["request_id"].encode()),
                    *HEADERS,
                ]
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except (Exception, asyncio.CancelledError) as error:
            refusal = self._last_resort(error)
            state["outcome"] = refusal.code
            if started or (refusal is _UNFORESEEN and isinstance(error, asyncio.CancelledError)):
                raise
            await error_response(state["request_id"], refusal)(scope, receive, send_with_headers)
        finally:
            self.service.metrics.request_done(self._route(scope), state["outcome"])

    def _last_resort(self, error: BaseException) -> Refusal:
        if isinstance(error, asyncio.CancelledError) and self.service.draining:
            return Refusal(503, "draining", "the server shut down before the answer was there: send the request again")
        _log.error("a request failed: %s", error, exc_info=error)
        return _UNFORESEEN

    def _route(self, scope: Scope) -> str:
        """Template of the route; of requests refused on their way in, too."""
        known = scope.get("route") or next((r for r in self.routes if r.matches(scope)[0] is Match.FULL), None)
        return getattr(known, "path", "other")
