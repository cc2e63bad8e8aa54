"""The HTTP server: the application, its life from warm-up to drain, and the process around it."""

from __future__ import annotations

import atexit
import gc
import logging
import math
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import STARTUP_FAILURE

from ..errors import ArtifactError, InputError
from .guard import Guard
from .judge import calibrated
from .metrics import WORKERS_DIRECTORY
from .openapi import install_document
from .server_admission import Admission
from .server_direct import Direct
from .server_envelope import Envelope
from .server_errors import install_handlers
from .server_health import health_router
from .server_page import page_router
from .server_protocol import Connection
from .server_v1 import v1_router
from .server_workers import Workers, follow_supervisor
from .service import Service
from .settings import ServeSettings, load_settings
from .v2_routes import VERSION, v2_router
from .warm_up import run_largest

_log = logging.getLogger("uvicorn.error")  # which is set up by then, for what is told in the course of starting

DESCRIPTION = (
    "Classifies texts so that a backdoor trigger in them does not decide the answer. "
    "Where the server was given a token, send it as a bearer token."
)


def create_app(settings: ServeSettings, guard: Guard | Callable[[], Guard] | None = None) -> FastAPI:
    """The ASGI application; the engine starts and stops with its lifespan.

    Args:
        settings: of the server.
        guard: a guard that is loaded already, or what loads one on start; None loads what the settings say.
    """
    from .. import __version__

    service = Service(settings, guard)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        _tell_of_the_token(settings)
        async with service:
            with _noticing_shutdown(service):
                yield

    app = _Application(
        title="Tokenward",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,  # the address to go to would be made of what the client calls this host
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    inference = (v1_router(service), v2_router(service))
    routers = (*inference, health_router(service), page_router(service, app))
    routes = [*app.routes, *(route for router in routers for route in router.routes)]
    install_handlers(app)
    for router in routers:
        app.include_router(router)
    install_document(app)
    asked = [r for each in inference for r in each.routes if isinstance(r, APIRoute) and "POST" in (r.methods or ())]
    direct = Direct(app.outermost, asked, {"model": settings.model_name, "version": VERSION})
    app.outermost = Envelope(Admission(direct, service, routes), service, routes)
    return app


def _tell_of_the_token(settings: ServeSettings) -> None:
    """Say whether one is asked for: to forget it must not go unnoticed where others can reach the server."""
    if settings.token:
        _log.info("Callers must give the token")
    else:
        level = logging.INFO if settings.host in ("127.0.0.1", "localhost", "::1") else logging.WARNING
        _log.log(level, "No token is set: whoever reaches %s:%s may ask", settings.host, settings.port)


class _Application(FastAPI):
    """FastAPI with layers around it, where they are cheaper than its own middleware.

    Attributes:
        outermost: the layer that a request meets first.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.outermost: ASGIApp = super().__call__

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.outermost(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        """Without the layer that answers what nobody foresaw, in plain text: the envelope does, as all else is told."""
        stack = super().build_middleware_stack()
        return stack.app if isinstance(stack, ServerErrorMiddleware) else stack


def worker_app(digest: str) -> FastAPI:
    """The application of one worker process, which finds its settings in the environment.

    Args:
        digest: of the artifact that all workers serve.
    """
    follow_supervisor()
    settings = load_settings()
    return _application(settings, partial(_load_the_same, settings, digest))


def _load_the_same(settings: ServeSettings, digest: str) -> Guard:
    """The guard of a worker, which may start long after the others.

    Raises:
        ArtifactError: the artifact has been replaced; and what :meth:`ServeSettings.load_guard` raises.
    """
    guard = settings.load_guard()
    if guard.artifact.digest != digest:
        raise ArtifactError(
            f"the artifact '{settings.artifact}' is another one now ({guard.artifact.digest:.12}…) than when the server"
            f" started ({digest:.12}…): restart the server to serve it"
        )
    return guard


def serve(settings: ServeSettings) -> None:
    """Run the server until it is told to stop; what is wrong with the artifact is found before it listens.

    Raises:
        ArtifactError, EngineError, InputError: the artifact or a setting cannot be used.
        SystemExit: with 0 after a shutdown in good order, with 3 where the server could not start.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises the signal anew when it has drained
    settings.check_files()
    _check_address(settings)
    guard = settings.load_guard()
    if settings.mode != "off":
        calibrated(guard.artifact)
    run_largest(guard, settings.queue_texts)
    if settings.workers == 1:
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # nohup has it ignored
            signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
        uvicorn.run(_application(settings, guard), **uvicorn_options(settings))
        return
    app = partial(worker_app, guard.artifact.digest)
    del guard  # it can be loaded: each worker has its own
    with tempfile.TemporaryDirectory(prefix="tokenward-metrics-") as folder:
        os.environ.pop("TOKENWARD_CONFIG", None)  # the file has been read: workers get its settings with the others
        os.environ |= {**settings.environment(), WORKERS_DIRECTORY: folder}
        workers = {"factory": True, "workers": settings.workers, **uvicorn_options(settings)}
        config = uvicorn.Config(app, **workers)
        listening = config.bind_socket()
        listening.listen(config.backlog)  # at once: until the workers are there, another process could take the address
        supervisor = Workers(config, sockets=[listening])
        supervisor.run()
    if supervisor.failed:
        sys.exit(STARTUP_FAILURE)


def _check_address(settings: ServeSettings) -> None:
    """Find out before the model is loaded whether the server can listen.

    Raises:
        InputError: the address is taken, or is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host, settings.port), family=family).close()
    except OSError as error:
        reason = error.strerror if isinstance(error, socket.gaierror) or not error.errno else os.strerror(error.errno)
        raise InputError(
            f"cannot listen on {settings.host}:{settings.port} ({reason}): choose another --host or --port"
        ) from error


def uvicorn_options(settings: ServeSettings) -> dict[str, Any]:
    """What uvicorn is told."""
    return {
        "host": settings.host,
        "port": settings.port,
        "http": partial(Connection, header_seconds=settings.header_seconds, read_seconds=settings.read_seconds),
        "ws": "none",
        "log_level": settings.log_level,
        "access_log": settings.log_level == "debug",
        "server_header": False,
        "proxy_headers": False,  # nothing here depends on who the client is
        "timeout_keep_alive": 65,  # longer than load balancers keep idle connections: they close first
        "timeout_graceful_shutdown": math.ceil(settings.grace_seconds),
        "timeout_worker_healthcheck": 120,  # who imports on a busy machine, or is long in native code, is not dead
    }


def _application(settings: ServeSettings, guard: Guard | Callable[[], Guard]) -> FastAPI:
    """The application of this process."""
    _collect_rarely()
    app = create_app(settings, guard)
    atexit.register(app.state.service.engine.halt)  # told to stop twice, uvicorn leaves without closing anything
    return app


def _collect_rarely() -> None:
    """What is loaded by now stays: looking through it for garbage takes a twentieth of the throughput.

    That is every module, and in a server of one process the guard.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@contextmanager
def _noticing_shutdown(service: Service) -> Iterator[None]:
    """Let the service know when the process is told to stop; what uvicorn does then is left as it is."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def notice(number: int, frame: FrameType | None) -> None:
        service.draining = True
        handler = handlers[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number in handlers:
        signal.signal(number, notice)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
