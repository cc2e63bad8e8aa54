"""The API as an OpenAPI document; ``python -m tokenward.runtime.openapi > openapi.json`` writes the committed copy."""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from .server_admission import is_open


def install_document(app: FastAPI) -> None:
    """Let ``app`` describe itself, the bearer token included."""
    document: dict[str, Any] = {}

    def build() -> dict[str, Any]:
        if not document:
            document.update(
                get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            )
            document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            for path, operations in document["paths"].items():
                if not is_open(path):
                    for operation in operations.values():
                        operation["security"] = [{"token": []}, {}]  # {}: a server without a token asks for none
        return document

    app.openapi = build  # type: ignore[method-assign]


def document_text() -> str:
    """The document as it is committed."""
    from .server import create_app
    from .settings import load_settings

    app = create_app(load_settings(["artifact"]))
    return json.dumps(app.openapi(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(document_text(), end="")
