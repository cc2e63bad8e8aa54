"""What machines ask: is it alive, may requests be sent, how is it doing."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from .service import Service


def health_router(service: Service) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["operation"])

    @router.get("/healthz", response_class=PlainTextResponse, operation_id="alive")
    async def healthz() -> str:
        """200 while the process answers: restart it otherwise."""
        return "alive"

    @router.get(
        "/readyz",
        response_class=PlainTextResponse,
        responses={503: {"description": "Draining, or the engine does not answer."}},
        operation_id="ready",
    )
    async def readyz() -> Response:
        """200 while requests should be sent here: the engine has just run a batch, or runs one now."""
        if await service.ready():
            return PlainTextResponse("ready")
        return PlainTextResponse("draining" if service.draining else "the engine does not answer", 503)

    @router.get("/metrics", response_class=PlainTextResponse, operation_id="metrics")
    async def metrics() -> Response:
        """Counts, gauges and histograms for Prometheus."""
        return Response(service.metrics.render(), media_type=CONTENT_TYPE_LATEST)

    return router
