"""Inference requests go to their endpoint directly: most of what FastAPI does between the two is not for them.

Its layers (dependencies, exit stacks, telemetry, matching of routes) take a third of the server's own time for a short
text. The routes stay FastAPI's, which documents them, and any other request goes through it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from .server_errors import ANSWERED, answer_to


class Direct:
    """ASGI middleware, the innermost.

    Args:
        app: for everything else.
        routes: the routes that are asked for by ``POST`` and take the request and parts of their path alone.
        parameters: values of the parts of paths; with those put in, each path is one that clients send.
    """

    def __init__(self, app: ASGIApp, routes: Iterable[APIRoute], parameters: Mapping[str, str]) -> None:
        self.app = app
        self._routes: dict[str, tuple[APIRoute, dict[str, Any]]] = {
            route.path.format(**parameters): (route, {name: parameters[name] for name in route.param_convertors})
            for route in routes
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        found = self._routes.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if found is None:
            await self.app(scope, receive, send)
            return
        scope["route"], parameters = found
        request = Request(scope, receive)
        try:
            response = await scope["route"].endpoint(request, **parameters)
        except ANSWERED as error:
            response = answer_to(request, error)
        await response(scope, receive, send)
