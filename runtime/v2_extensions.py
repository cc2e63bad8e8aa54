"""Extensions of the v2 protocol that are not served here, told by name to clients of Triton that ask for them."""

from __future__ import annotations

_BY_PART = {  # of the path
    "stats": "statistics",
    "repository": "model repository",
    "trace": "trace",
    "logging": "logging",
    "systemsharedmemory": "system shared memory",
    "cudasharedmemory": "CUDA shared memory",
    "generate": "generate",
    "generate_stream": "generate",
}


def missing_extension(path: str) -> str | None:
    """The extension that a path belongs to; None where it is none of those."""
    start, *parts = path.strip("/").split("/")
    return next((_BY_PART[part] for part in parts if part in _BY_PART), None) if start == "v2" else None
