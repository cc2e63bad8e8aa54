"""One name per system, the same in every benchmark, and as much of a path as tells it from others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..artifact import Artifact
from ..errors import InputError

BARE = "bare ONNX Runtime"


def defence_names(artifacts: Sequence[Artifact]) -> list[str]:
    """Preset and precision of each artifact; with its folder where these alone do not tell two apart.

    Raises:
        InputError: an artifact is given twice.
    """
    names = [f"{artifact.guard.graph.preset} {artifact.guard.graph.precision}" for artifact in artifacts]
    return told_apart(names, [artifact.path for artifact in artifacts])


def told_apart(names: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """The names; those that several have, each with the end of its path that no other of them has.

    Raises:
        InputError: two of one name have one path.
    """
    told = list(names)
    for name in {name for name in names if names.count(name) > 1}:
        alike = [number for number, other in enumerate(names) if other == name]
        for number, end in zip(alike, path_ends([paths[number] for number in alike]), strict=True):
            told[number] = f"{name} ({end})"
    return told


def path_ends(paths: Sequence[Path]) -> list[str]:
    """The last name of each path, with as many of the folders before it as no other path ends in.

    Raises:
        InputError: a path is given twice.
    """
    whole = [path.resolve().parts for path in paths]
    for path, parts in zip(paths, whole, strict=True):
        if whole.count(parts) > 1:
            raise InputError(f"'{path}' is given twice: give it once")
    return [
        next(
            str(Path(*parts[-length:]))
            for length in range(1, len(parts) + 1)
            if sum(other[-length:] == parts[-length:] for other in whole) == 1
        )
        for parts in whole
    ]
