"""The HTTP server: the application, its life from warm-up to drain, and the process around it."""

from __future__ import annotations

import gc
import math
import os
import signal
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from ..artifact import load_artifact
from .guard import Guard
from .judge import calibrated
from .metrics import WORKERS_DIRECTORY
from .openapi import install_document
from .server_admission import Admission
from .server_envelope import Envelope
from .server_errors import install_handlers
from .server_health import health_router
from .server_page import page_router
from .server_v1 import v1_router
from .service import Service
from .settings import ServeSettings, load_settings
from .v2_routes import v2_router

DESCRIPTION = (
    "Classifies texts so that a backdoor trigger in them does not decide the answer. "
    "Where the server was given a token, send it as a bearer token."
)


def create_app(settings: ServeSettings, guard: Guard | None = None) -> FastAPI:
    """The ASGI application; the engine starts and stops with its lifespan.

    Args:
        settings: of the server.
        guard: a guard that is loaded already; None loads what the settings say on start.
    """
    from .. import __version__

    service = Service(settings, guard)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service:
            with _noticing_shutdown(service):
                yield

    app = FastAPI(
        title="Tokenward",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    app.add_middleware(Admission, service=service)
    app.add_middleware(Envelope, metrics=service.metrics)
    install_handlers(app)
    for router in (v1_router(service), v2_router(service), health_router(service), page_router(service, app)):
        app.include_router(router)
    install_document(app)
    return app


def worker_app() -> FastAPI:
    """The application of one worker process, which finds its settings in the environment."""
    _collect_rarely()
    return create_app(load_settings())


def serve(settings: ServeSettings) -> None:
    """Run the server until it is told to stop; what is wrong with the artifact is found before it listens.

    Raises:
        ArtifactError, EngineError, InputError: the artifact or a setting cannot be used.
        SystemExit: with 0 after a shutdown in good order.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises the signal anew when it has drained
    options: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "log_level": settings.log_level,
        "access_log": settings.log_level == "debug",
        "server_header": False,
        "proxy_headers": False,  # nothing here depends on who the client is
        "timeout_keep_alive": 65,  # longer than load balancers keep idle connections: they close first
        "timeout_graceful_shutdown": math.ceil(settings.grace_seconds),
    }
    if settings.workers == 1:
        guard = settings.load_guard()
        if settings.mode != "off":
            calibrated(guard.artifact)
        _collect_rarely()
        uvicorn.run(create_app(settings, guard), **options)
        return
    artifact = load_artifact(settings.artifact)
    if settings.mode != "off":
        calibrated(artifact)
    with tempfile.TemporaryDirectory(prefix="tokenward-metrics-") as folder:
        os.environ.pop("TOKENWARD_CONFIG", None)  # the file has been read: workers get its settings with the others
        os.environ |= {**settings.environment(), WORKERS_DIRECTORY: folder}
        uvicorn.run("tokenward.runtime.server:worker_app", factory=True, workers=settings.workers, **options)


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
