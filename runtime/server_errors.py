"""Every way a request can fail: status, stable code and one line for people. No traceback and no path leaves here."""

from __future__ import annotations

import json
from collections.abc import Mapping

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException

from ..errors import ArtifactError, EngineError, InputError, TokenwardError
from .refusals import ClosingError, DeadlineError, OverloadedError
from .v2_extensions import missing_extension

RETRY_SECONDS = 1
_LISTED = 100


class ErrorBody(BaseModel):
    """The body of every answer that is not a success, under /v1 and /v2 alike."""

    model_config = ConfigDict(extra="forbid")

    error: str = Field(description="What was wrong and what to do, for people.")
    code: str = Field(description="The same for programs; it does not change between versions.")
    request_id: str


class Refusal(HTTPException):
    """An answer that is not a success."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        when = {"Retry-After": str(RETRY_SECONDS)} if status in (429, 503) else {}
        super().__init__(status, message, {**when, **(headers or {})})
        self.code = code


_STATUS: dict[type[TokenwardError], tuple[int, str]] = {
    InputError: (422, "invalid_input"),
    ArtifactError: (422, "not_calibrated"),
    OverloadedError: (429, "overloaded"),
    EngineError: (500, "engine_failed"),
    ClosingError: (503, "draining"),
    DeadlineError: (504, "deadline"),
}
_CODES = {404: "not_found", 405: "method_not_allowed"}


def refusal_of(error: TokenwardError) -> Refusal:
    """The refusal that an error of ours becomes."""
    status, code = next((known for kind, known in _STATUS.items() if isinstance(error, kind)), (500, "internal"))
    # What is wrong with an artifact is told with its folder, which is nobody's business out there.
    told = "the model is not calibrated: use mode 'off'" if isinstance(error, ArtifactError) else str(error)
    return Refusal(status, code, told)


def error_response(request_id: str, refusal: Refusal) -> Response:
    """The answer for a refusal."""
    body = ErrorBody(error=str(refusal.detail), code=refusal.code, request_id=request_id)
    return Response(json.dumps(body.model_dump()), refusal.status_code, refusal.headers, "application/json")


ANSWERED: tuple[type[Exception], ...] = (TokenwardError, ValidationError, HTTPException)
"""What routes may raise; what nobody foresaw is left to the envelope, which is around them all."""


def answer_to(request: Request, error: Exception) -> Response:
    """The answer for an error of one of the kinds ``ANSWERED``."""
    refusal = _refusal(error)
    if refusal.status_code == 422 and request.url.path.startswith("/v2/"):
        refusal.status_code = 400  # what clients of that protocol expect
    extension = missing_extension(request.url.path) if refusal.status_code in (404, 405) else None
    if extension:
        told = f"the {extension} extension of the protocol is not served here: GET /v2 lists those that are"
        refusal = Refusal(404, "unsupported_extension", told)
    request.state.outcome = refusal.code
    return error_response(request.state.request_id, refusal)


def install_handlers(app: FastAPI) -> None:
    """Answer what routes raise."""

    async def refuse(request: Request, error: Exception) -> Response:
        return answer_to(request, error)

    for kind in ANSWERED:
        app.add_exception_handler(kind, refuse)


def _refusal(error: Exception) -> Refusal:
    if isinstance(error, Refusal):
        return error
    if isinstance(error, TokenwardError):
        return refusal_of(error)
    if isinstance(error, ValidationError):
        return Refusal(422, "invalid_request", _explain(error))
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "bad_request")
    return Refusal(error.status_code, code, str(error.detail), error.headers)


def _explain(error: ValidationError) -> str:
    """The first thing wrong, without quoting what was sent; all of many would take seconds to list."""
    if error.error_count() > _LISTED:
        return f"the request has {error.error_count()} faults, such as unknown fields: /docs says what it may have"
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where:.100}: {first['msg']}" if where else first["msg"]
