"""Who may come in: the bearer token, how many at a time, and how much each may send."""

from __future__ import annotations

import asyncio
import zlib
from collections import Counter
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .server_errors import Refusal, error_response
from .service import Service

# Open without a token: probes, documentation, and the page (whose form asks for the token).
FORM = "/"
OPEN = (FORM, "/healthz", "/readyz", "/docs", "/openapi.json", "/v2/health/live", "/v2/health/ready")
OPEN_FOLDER = "/page/"
STRANGERS = 16  # who has no token gets one of so many places
_CHARACTER_BYTES = 12  # of a character in a form: four of UTF-8, each percent-encoded
_FORM_BYTES = 4_096  # of all in a form that is not the text
_GZIP, _ZLIB = zlib.MAX_WBITS | 16, zlib.MAX_WBITS
_MEMBERS = 64  # of a gzip body, which may be several in a row
_CODINGS = {"": 0, "identity": 0, "gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}  # 0: not compressed


class Admission:
    """ASGI middleware: reads the body within the limits and hands it on in one piece.

    Bodies are read, and places taken, where there is something to be asked only. Those who ask without a token where
    one is needed (by the page's form, which holds it) have few places, all of their own. A form holds one text and is
    not compressed (no browser does that), so that strangers cannot have much read for little.

    Args:
        app: what is inside.
        service: whose limits these are.
        routes: what can be asked.
    """

    def __init__(self, app: ASGIApp, service: Service, routes: Sequence[BaseRoute]) -> None:
        self.app = app
        self.service = service
        self._routes = [route for route in routes if "POST" in (getattr(route, "methods", None) or ())]
        self._active: Counter[bool] = Counter()  # by whether they are strangers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            self._check_token(scope)
            if scope["method"] != "POST" or not self._can_be_asked(scope):
                await self.app(scope, receive, send)
                return
            stranger = self.service.settings.token is not None and is_open(scope["path"])
            self._check_room(stranger)
        except Refusal as refusal:
            await self._refuse(refusal, scope, receive, send)
            return
        self._active[stranger] += 1
        try:
            body = await self._read(scope, receive)
            await self.app(scope, _replay(body, receive), send)
        except Refusal as refusal:
            await self._refuse(refusal, scope, receive, send)
        finally:
            self._active[stranger] -= 1

    def _check_token(self, scope: Scope) -> None:
        if is_open(scope["path"]):
            return
        scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
        if not self.service.knows(token.strip() if scheme.lower() == "bearer" else ""):
            message = "a valid bearer token is needed: send the header 'Authorization: Bearer …'"
            raise Refusal(401, "unauthorised", message, {"WWW-Authenticate": "Bearer"})

    def _can_be_asked(self, scope: Scope) -> bool:
        return any(route.matches(scope)[0] is Match.FULL for route in self._routes)

    def _check_room(self, stranger: bool) -> None:
        if self.service.draining:
            raise Refusal(503, "draining", "the server is shutting down: send the request to another one")
        active, most = self._active[stranger], self.service.settings.max_requests
        if active >= (max(most // STRANGERS, 1) if stranger else most):
            raise Refusal(429, "too_many_requests", f"{active} requests are being answered: try again later")

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        settings, headers = self.service.settings, Headers(scope=scope)
        coding = ",".join(headers.getlist("content-encoding")).strip().lower()
        limit = settings.max_body_bytes
        if scope["path"] == FORM:
            limit = min(limit, _CHARACTER_BYTES * settings.max_characters + _FORM_BYTES)
            if _CODINGS.get(coding):
                raise Refusal(415, "unsupported_encoding", "a form is not read compressed: send it plain")
        if coding not in _CODINGS:
            message = "the body's Content-Encoding is unknown: send gzip, or it plain"
            raise Refusal(415, "unsupported_encoding", message, {"Accept-Encoding": "gzip, deflate"})
        try:
            body = await asyncio.wait_for(
                _whole_body(receive, headers.get("content-length", "0"), limit), settings.deadline_seconds
            )
        except asyncio.TimeoutError:
            message = f"the body was not there after {settings.deadline_seconds:g} seconds"
            raise Refusal(408, "slow_body", message, {"Connection": "close"}) from None
        return _decompressed(body, _CODINGS[coding], limit) if _CODINGS[coding] else body

    async def _refuse(self, refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["outcome"] = refusal.code
        await error_response(scope["state"]["request_id"], refusal)(scope, receive, send)


def is_open(path: str) -> bool:
    """Whether a path asks for no token."""
    return path in OPEN or path.startswith(OPEN_FOLDER)


async def _whole_body(receive: Receive, announced: str, limit: int) -> bytes:
    body = bytearray()
    size, more = int(announced) if announced.isdecimal() else 0, True
    while more and size <= limit:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(499, "client_gone", "the client closed the connection")
        body += message.get("body", b"")
        size, more = len(body), message.get("more_body", False)
    if size > limit:
        raise _too_large(limit)
    return bytes(body)


def _decompressed(body: bytes, window: int, limit: int) -> bytes:
    """What gzip or zlib (which HTTP calls deflate) made smaller; never more than ``limit`` bytes of it."""
    plain, rest = bytearray(), body
    for _ in range(_MEMBERS if window == _GZIP else 1):
        stream = zlib.decompressobj(window)
        try:
            plain += stream.decompress(rest, limit + 1 - len(plain))
        except zlib.error as error:
            raise Refusal(400, "bad_request", "the body is not what its Content-Encoding says") from error
        if len(plain) > limit:
            raise _too_large(limit)
        rest = stream.unused_data
        if stream.eof and not rest:
            return bytes(plain)
    raise Refusal(400, "bad_request", "the compressed body ends too early or too late")


def _too_large(limit: int) -> Refusal:
    told = f"the body has more than {limit} bytes: send fewer or shorter texts"
    return Refusal(413, "body_too_large", told, {"Connection": "close"})


def _replay(body: bytes, receive: Receive) -> Receive:
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return first.pop() if first else await receive()

    return next_message
