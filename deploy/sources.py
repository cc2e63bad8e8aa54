"""The modules of this project that one of them needs: what a model repository has to carry."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path


def needed_modules(entry: str) -> dict[str, Path]:
    """Find what ``entry`` imports from this project, directly or not, inside functions too.

    Read from the sources, since the entry itself may be importable only where it is served. Inside the project all
    imports are relative, so these are all there is to follow.

    Args:
        entry: dotted name of a module.

    Returns:
        Source files by dotted name, the packages they lie in included.
    """
    found: dict[str, Path] = {}
    waiting = [entry]
    while waiting:
        name = waiting.pop()
        spec = find_spec(name)
        if name in found or spec is None or spec.origin is None:
            continue
        found[name] = Path(spec.origin)
        if parent := name.rpartition(".")[0]:
            waiting.append(parent)
        waiting += _imported(found[name], name if _is_package(spec) else parent)
    return found


def _imported(source: Path, package: str) -> Iterator[str]:
    """Dotted names of what may be modules."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            parents = package.split(".")[: -(node.level - 1) or None]
            base = ".".join([*parents, node.module] if node.module else parents)
            yield base
            spec = find_spec(base)
            if spec is not None and _is_package(spec):
                yield from (f"{base}.{alias.name}" for alias in node.names)


def _is_package(spec: ModuleSpec) -> bool:
    return spec.submodule_search_locations is not None
