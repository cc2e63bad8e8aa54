"""The KServe / Triton v2 protocol, so that its clients can talk to this server and to Triton alike."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from ..errors import InputError
from .server_errors import ErrorBody, Refusal
from .service import Service
from .v2_codec import JSON_LENGTH, decode, encode
from .v2_tensors import INPUT, TensorSpec, options_of, output_specs, outputs_of, texts_of, told

VERSION = "1"
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorBody, "description": "The request cannot be answered."},
    "5XX": {"model": ErrorBody, "description": "The server could not answer."},
}


def v2_router(service: Service) -> APIRouter:
    """Health, metadata, configuration and inference of the one model served."""
    router = APIRouter(prefix="/v2", tags=["v2"], responses=_ERRORS)
    name = service.settings.model_name
    prefixes = ("/models/{model}", "/models/{model}/versions/{version}")

    def check(model: str, version: str = VERSION) -> None:
        if model != name or version != VERSION:
            raise Refusal(404, "unknown_model", f"the model served here is {name}, version {VERSION}")

    def outputs() -> tuple[TensorSpec, ...]:
        return output_specs(len(service.guard.labels))

    @router.get("", operation_id="server_metadata")
    async def server() -> dict[str, Any]:
        """Name and extensions of the server."""
        return {"name": "tokenward", "version": _package_version(), "extensions": ["binary_tensor_data"]}

    @router.get("/health/live", operation_id="server_live", response_class=Response)
    async def live() -> Response:
        """200 while the process answers."""
        return Response()

    @router.get("/health/ready", operation_id="server_ready", response_class=Response)
    async def ready() -> Response:
        """200 while requests should be sent here."""
        if not await service.ready():
            if service.draining:
                raise Refusal(503, "draining", "the server is shutting down: send requests to another one")
            raise Refusal(503, "not_ready", "the engine does not answer: send requests to another one")
        return Response()

    async def model_ready(model: str, version: str = VERSION) -> Response:
        """200 while the model answers."""
        check(model, version)
        return await ready()

    async def metadata(model: str, version: str = VERSION) -> dict[str, Any]:
        """Names, types and shapes of the tensors."""
        check(model, version)
        return {
            "name": name,
            "versions": [VERSION],
            "platform": "tokenward",
            "inputs": [_described(INPUT)],
            "outputs": [_described(spec) for spec in outputs()],
        }

    async def config(model: str, version: str = VERSION) -> dict[str, Any]:
        """The configuration as Triton would give it."""
        check(model, version)
        return {
            "name": name,
            "platform": "tokenward",
            "backend": "tokenward",
            "max_batch_size": service.settings.max_texts,
            "input": [_configured(INPUT)],
            "output": [_configured(spec) for spec in outputs()],
        }

    async def infer(request: Request, model: str, version: str = VERSION) -> Response:
        """Classify the texts of the tensor `TEXT`, given as JSON or as raw bytes behind it."""
        check(model, version)
        wanted = decode(await request.body(), request.headers.get(JSON_LENGTH), service.check_count)
        options = options_of(wanted.parameters, service.settings.mode)
        specs = {spec.name: spec for spec in outputs()}
        if unknown := [output for output in wanted.outputs if output not in specs]:
            raise InputError(f"output {told(unknown[0])} is unknown, expected one of {', '.join(specs)}")
        texts = texts_of(wanted.texts)
        if not texts:
            raise InputError(f"{INPUT.name} has no rows: send at least one text")
        answer = await service.classify(request, texts, options)
        body, head = encode(wanted, outputs_of(answer.verdicts, wanted.outputs), specs, name, VERSION)
        if head is None:
            return Response(body, media_type="application/json")
        return Response(body, headers={JSON_LENGTH: str(head)}, media_type="application/octet-stream")

    for prefix, suffix in zip(prefixes, ("", "_version"), strict=True):
        router.get(prefix, operation_id="model_metadata" + suffix)(metadata)
        router.get(prefix + "/config", operation_id="model_config" + suffix)(config)
        router.get(prefix + "/ready", operation_id="model_ready" + suffix, response_class=Response)(model_ready)
        router.post(
            prefix + "/infer", operation_id="model_infer" + suffix, responses=_INFERRED, openapi_extra=_INFER_BODY
        )(infer)
    return router


def _described(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


def _configured(spec: TensorSpec) -> dict[str, Any]:
    kind = "TYPE_STRING" if spec.datatype == "BYTES" else f"TYPE_{spec.datatype}"
    return {"name": spec.name, "data_type": kind, "dims": list(spec.shape[1:])}


def _package_version() -> str:
    from .. import __version__

    return __version__


_TENSOR = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"const": INPUT.name},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 2, "maxItems": 2},
        "datatype": {"const": INPUT.datatype},
        "data": {"type": "array", "items": {"type": "string"}},
        "parameters": {"type": "object"},
    },
}
_RAW: dict[str, Any] = {
    "application/octet-stream": {
        "schema": {
            "type": "string",
            "format": "binary",
            "description": f"The same JSON with raw tensors behind it; the header {JSON_LENGTH} says how long it is.",
        }
    }
}
_INFERRED: dict[int | str, dict[str, Any]] = {200: {"content": _RAW}}
_INFER_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            **_RAW,
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["inputs"],
                    "properties": {
                        "id": {"type": "string"},
                        "inputs": {"type": "array", "items": _TENSOR, "minItems": 1, "maxItems": 1},
                        "outputs": {"type": "array", "items": {"type": "object", "required": ["name"]}},
                        "parameters": {
                            "type": "object",
                            "properties": {
                                "mode": {"enum": ["enforce", "monitor", "off"]},
                                "explain": {"type": "boolean"},
                                "truncate": {"type": "boolean"},
                            },
                        },
                    },
                    "example": {
                        "inputs": [{"name": INPUT.name, "shape": [1, 1], "datatype": "BYTES", "data": ["A fine film."]}]
                    },
                }
            },
        },
    }
}
