"""The table of folders in CONTRIBUTING.md against what the folders import."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROWS = re.findall(r"^\| `(\w+)/` \|.*\| (.*) \|$", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.MULTILINE)
FOLDERS = [folder for folder, _ in ROWS if folder not in ("tokenward", "tests")]
NUMPY_PARTS = {"reference", "vocabulary"}
GPU_ENGINES = {"engine_torch", "engine_onnx_cuda", "engines"}


def may_import(column: str) -> set[str]:
    return set(FOLDERS) if column.startswith("all") else set(re.findall(r"`(\w+)`", column))


def imported(path: Path) -> Iterator[tuple[str, ...]]:
    """What the file imports relatively, as paths from the package `tokenward`."""
    package = path.relative_to(ROOT).parts[:-1]
    package = package[1:] if package[0] == "tokenward" else package
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            module = node.module.split(".") if node.module else ()
            yield from ((*base, *module, name.name) for name in node.names)


@cache
def folders_behind(name: str) -> set[str]:
    """Folders that a module of the front door imports, itself or through others of the front door."""
    found, names = set[str](), [name]
    for front in names:  # it grows on the way
        path = ROOT / "tokenward" / f"{front}.py"
        for first, *_ in imported(path) if path.exists() else ():
            if first in FOLDERS:
                found.add(first)
            elif first not in names:
                names.append(first)
    return found


@pytest.mark.parametrize(("folder", "column"), [row for row in ROWS if row[0] in FOLDERS])
def test_a_folder_imports_what_the_table_says(folder: str, column: str) -> None:
    allowed = may_import(column) | {folder}
    for path in (ROOT / folder).rglob("*.py"):
        for first, *_ in imported(path):
            behind = {first} if first in FOLDERS else folders_behind(first)
            assert behind <= allowed, f"{path.relative_to(ROOT)} imports {first}"


@pytest.mark.parametrize("folder", ["export", "runtime"])
def test_torch_parts_of_the_kernels_are_for_the_gpu_engines_alone(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        parts = {parts[1] for parts in imported(path) if parts[0] == "kernels"}
        assert parts <= NUMPY_PARTS or path.stem in GPU_ENGINES, f"{path.name} imports {parts - NUMPY_PARTS}"
