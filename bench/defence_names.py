"""One name per system, the same in every benchmark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..artifact import Artifact

BARE = "bare ONNX Runtime"


def defence_names(artifacts: Sequence[Artifact]) -> list[str]:
    """Preset and precision of each artifact; with its folder where these alone do not tell two apart."""
    names = [f"{artifact.guard.graph.preset} {artifact.guard.graph.precision}" for artifact in artifacts]
    seen = Counter(names)
    return [
        name if seen[name] == 1 else f"{name} ({artifact.path.name})"
        for name, artifact in zip(names, artifacts, strict=True)
    ]
