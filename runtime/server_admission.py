"""Who may come in: the bearer token, how many at a time, and how much each may send."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .server_errors import Refusal, error_response
from .service import Service

# Open without a token: probes, documentation, and the page (whose form asks for the token).
OPEN = ("/", "/healthz", "/readyz", "/docs", "/openapi.json", "/v2/health/live", "/v2/health/ready")
OPEN_FOLDER = "/page/"


class Admission:
    """ASGI middleware: reads the body within the limits and hands it on in one piece."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app = app
        self.service = service
        self._active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            self._check_token(scope)
            if scope["method"] != "POST":
                await self.app(scope, receive, send)
                return
            self._check_room()
        except Refusal as refusal:
            await self._refuse(refusal, scope, receive, send)
            return
        self._active += 1
        try:
            body = await self._read(scope, receive)
            await self.app(scope, _replay(body, receive), send)
        except Refusal as refusal:
            await self._refuse(refusal, scope, receive, send)
        finally:
            self._active -= 1

    def _check_token(self, scope: Scope) -> None:
        path = scope["path"]
        if path in OPEN or path.startswith(OPEN_FOLDER):
            return
        scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
        if not self.service.knows(token if scheme.lower() == "bearer" else ""):
            message = "a valid bearer token is needed: send the header 'Authorization: Bearer …'"
            raise Refusal(401, "unauthorised", message, {"WWW-Authenticate": "Bearer"})

    def _check_room(self) -> None:
        if self.service.draining:
            raise Refusal(503, "draining", "the server is shutting down: send the request to another one")
        if self._active >= self.service.settings.max_requests:
            raise Refusal(429, "too_many_requests", f"{self._active} requests are being answered: try again later")

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        settings, headers = self.service.settings, Headers(scope=scope)
        if headers.get("content-encoding", "identity") != "identity":
            raise Refusal(415, "unsupported_encoding", "compressed bodies are not read: send it plain")
        try:
            return await asyncio.wait_for(
                _whole_body(receive, headers.get("content-length", "0"), settings.max_body_bytes),
                settings.deadline_seconds,
            )
        except asyncio.TimeoutError:
            message = f"the body was not there after {settings.deadline_seconds:g} seconds"
            raise Refusal(408, "slow_body", message, {"Connection": "close"}) from None

    async def _refuse(self, refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["outcome"] = refusal.code
        await error_response(scope["state"]["request_id"], refusal)(scope, receive, send)


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
        told = f"the body has more than {limit} bytes: send fewer or shorter texts"
        raise Refusal(413, "body_too_large", told, {"Connection": "close"})
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return first.pop() if first else await receive()

    return next_message
