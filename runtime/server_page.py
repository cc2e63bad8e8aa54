"""The page for people at `/`, its static files, and the API's documentation. Nothing is loaded from elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader
from starlette.exceptions import HTTPException

from ..errors import TokenwardError
from ..explain import ACTIONS, deciding_measure, pieces
from ..visible import visible
from .recent import MINUTES
from .server_errors import Refusal, refusal_of
from .service import Service
from .v2_tensors import RequestOptions

FOLDER = Path(__file__).parent / "page"
_MOST_FIELDS = 8
_TOKEN_BYTES = 4_096  # of the token in a form, as it is sent; a longer one is not decoded to its end
STATIC = {"style.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}


def page_router(service: Service, app: FastAPI) -> APIRouter:
    """The routes; none of them is part of the API."""
    router = APIRouter(include_in_schema=False)
    templates = Environment(loader=FileSystemLoader(FOLDER), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    files = {name: (FOLDER / name).read_bytes() for name in STATIC}
    templates.filters.update(visible=visible, resolved=_resolved)

    def render(template: str, **values: Any) -> str:
        return templates.get_template(template).render(
            labels=service.guard.labels,
            mode=service.settings.mode,
            max_characters=service.settings.max_characters,
            needs_token=service.settings.token is not None,
            recent=None if service.settings.token else service.metrics.recent.counts(),
            minutes=MINUTES,
            **values,
        )

    @router.api_route("/", methods=["GET", "POST"])  # one route: of two, a refusal names the methods of the first
    async def page(request: Request) -> Response:
        return await classify(request) if request.method == "POST" else HTMLResponse(render("page.html"))

    async def classify(request: Request) -> Response:
        fields = _fields(await request.body())
        status, found, headers = 200, {}, None
        shown = ""  # who is refused gets no more back than a line
        try:
            if b"text" not in fields:
                raise Refusal(422, "invalid_request", "There is no field 'text': send a form, not JSON or multipart.")
            if not service.knows(_plain(fields.get(b"token", b"")[:_TOKEN_BYTES])):
                raise Refusal(401, "unauthorised", "That is not the access token of this server.")
            # Decoding takes long, so not before the token is known, and not where all others wait for it.
            text = (await asyncio.to_thread(_plain, fields[b"text"])).replace("\r\n", "\n")
            shown = text[: service.settings.max_characters]
            found = await explained(request, text)
        except (TokenwardError, Refusal) as error:
            refusal = error if isinstance(error, Refusal) else refusal_of(error)
            request.state.outcome = refusal.code
            status, found, headers = refusal.status_code, {"error": refusal.detail}, refusal.headers
        template = "result.html" if "fragment" in request.headers.get("accept", "") else "page.html"
        return HTMLResponse(render(template, text=shown, **found), status, headers)

    async def explained(request: Request, text: str) -> dict[str, Any]:
        options = RequestOptions(service.settings.mode, explain=True)
        (verdict,) = (await service.classify(request, [text], options)).verdicts
        measure = deciding_measure(service.guard.artifact.guard.graph.preset)
        tone, meaning = ACTIONS[verdict.action]
        return {
            "verdict": verdict,
            "tone": tone,
            "meaning": meaning,
            "measure": measure.replace("_", " "),
            "pieces": pieces(text, verdict, measure),
        }

    @router.get("/page/{name}")
    async def static(name: str) -> Response:
        if name not in STATIC:
            raise HTTPException(404)
        return Response(files[name], media_type=STATIC[name])

    @router.get("/docs")
    async def docs() -> Response:
        return HTMLResponse(render("docs.html", api=app.openapi()))

    return router


def _fields(form: bytes) -> dict[bytes, bytes]:
    """What a form says, still encoded; nothing where it has more fields than any of ours."""
    fields = form.split(b"&", _MOST_FIELDS)
    if len(fields) > _MOST_FIELDS:
        return {}
    parts = (field.partition(b"=") for field in reversed(fields))  # of fields of one name, the first counts
    return {name: value for name, _, value in parts}


def _plain(value: bytes) -> str:
    """A value of a form, decoded."""
    return unquote_to_bytes(value.replace(b"+", b" ")).decode("utf-8", "replace")


def _resolved(schema: Mapping[str, str], api: Mapping[str, Any]) -> Any:
    """The JSON schema that a reference into the document points to."""
    return api["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
