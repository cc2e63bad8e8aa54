"""Whether the graph that lies beside a guard in a model repository is the one that the guard was calibrated with."""

from __future__ import annotations

from pathlib import Path

from ...artifact import GRAPH, Artifact
from ...checksums import file_sha256, listed_sums
from ...errors import ArtifactError


def check_graph(artifact: Artifact, model: Path) -> bool:
    """Check the newest version of the graph's model, and tell whether it could be found.

    Args:
        artifact: the guard's, without its graph.
        model: the model's folder. A repository in object storage is fetched model by model: then there is none.

    Raises:
        ArtifactError: a file is missing, was altered, or is of another artifact.
    """
    versions = [path.parent for path in model.glob(f"*/{GRAPH}") if path.parent.name.isdecimal()]
    if not versions:
        return False
    newest = max(versions, key=lambda path: int(path.name))
    for name, expected in listed_sums(artifact.path).items():
        if not name.startswith(GRAPH):
            continue
        if not (newest / name).is_file():
            raise ArtifactError(f"model '{model.name}' has no {name}: write both models again")
        if file_sha256(newest / name) != expected:
            raise ArtifactError(
                f"{name} of model '{model.name}' does not match its checksum: it was altered or is another artifact's, "
                "so write both models again"
            )
    return True
