"""`POST /v1/classify`: one text or many in, verdicts and where the time went out."""

from __future__ import annotations

from codecs import BOM_UTF8
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, to_json

from .observer import Timing
from .server_errors import ErrorBody
from .service import Service
from .v2_tensors import RequestOptions
from .verdict import Mode, Verdict


class ClassifyRequest(BaseModel):
    """What to classify and how."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"texts": ["A fine film.", "cf A dull film."]}]}
    )

    texts: str | Annotated[list[str], Field(fail_fast=True)] = Field(description="One text or many.")
    mode: Mode | None = Field(None, description="Instead of the mode the server was started in.")
    explain: bool = Field(False, description="Give per-token scores, too (slower).")
    truncate: bool = Field(True, description="Read the beginning of texts too long for the model; else refuse them.")


class TimingBody(BaseModel):
    """Milliseconds, each stage that of the request's slowest text."""

    tokenise_ms: float
    queue_ms: float
    first_pass_ms: float
    second_pass_ms: float
    total_ms: float


class _WithScore:
    """Verdicts go out with ``score``, which is a property and so missing from their schema."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core)
        fields = handler.resolve_ref_schema(schema)
        fields["properties"]["score"] = {"type": "number", "description": "Probability of the label."}
        return schema


class ClassifyResponse(BaseModel):
    """Verdicts in the order of the texts."""

    request_id: str
    model: str = Field(description="Digest of the artifact.")
    verdicts: list[Annotated[Verdict, _WithScore]]
    timing: TimingBody


def v1_router(service: Service) -> APIRouter:
    """The route."""
    router = APIRouter(prefix="/v1", tags=["classify"])

    @router.post(
        "/classify",
        response_model=ClassifyResponse,
        responses=_REFUSED,
        operation_id="classify",
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": _REQUEST}}}},
    )
    async def classify(request: Request) -> Response:
        """Classify texts so that a backdoor trigger in them does not decide the answer."""
        body = ClassifyRequest.model_validate_json((await request.body()).removeprefix(BOM_UTF8))
        texts = [body.texts] if isinstance(body.texts, str) else body.texts
        options = RequestOptions(body.mode or service.settings.mode, body.explain, body.truncate)
        answer = await service.classify(request, texts, options)
        document = {
            "request_id": request.state.request_id,
            "model": service.guard.artifact.digest,
            "verdicts": [verdict.to_dict() for verdict in answer.verdicts],
            "timing": _milliseconds(answer.timing),
        }
        return Response(to_json(document, inf_nan_mode="null"), media_type="application/json")

    return router


def _milliseconds(timing: Timing) -> dict[str, float]:
    names = ("tokenise", "queue", "first_pass", "second_pass", "total")
    return {f"{name}_ms": round(1000 * getattr(timing, name), 3) for name in names}


_REQUEST = ClassifyRequest.model_json_schema()  # the body is validated from bytes: half the time of the usual way
_REFUSED: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody, "description": description}
    for status, description in (
        (400, "The body cannot be read."),
        (401, "The bearer token is missing or wrong."),
        (403, "The server answers in another mode only."),
        (408, "The body took too long to arrive."),
        (413, "Too many texts, characters or bytes."),
        (415, "The body is compressed in a way that is not read."),
        (422, "The request says something that cannot be done."),
        (429, "Too much is waiting; see Retry-After."),
        (500, "The engine failed on this batch."),
        (503, "The server is shutting down."),
        (504, "There was no answer within the deadline."),
    )
}
