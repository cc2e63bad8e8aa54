"""Which files of a checkpoint folder hold its weights: those that transformers reads, and nothing left over beside."""

from __future__ import annotations

import json
from pathlib import Path

from .errors import InputError

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_POINTER = b"version https://git-lfs"  # of Git LFS, where its files were not fetched


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that transformers reads, in the order of their names; all where there are none of those.

    Raises:
        InputError: the index of the files cannot be read, or names one that is not there; or a file is but a pointer.
    """
    if (folder / SINGLE).is_file():
        files = [folder / SINGLE]
    elif (folder / INDEX).is_file():
        files = [folder / name for name in _named(folder)]
    else:
        files = sorted(folder.glob("*.safetensors"))
    for path in files:
        with path.open("rb") as stream:
            if stream.read(len(_POINTER)) == _POINTER:
                raise InputError(f"'{path}' is a pointer of Git LFS, not the weights: fetch them, git lfs pull")
    return files


def _named(folder: Path) -> list[str]:
    try:
        names = sorted(set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
        outside = any(Path(name).name != name for name in names)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"'{folder / INDEX}' is no index of weights: save the model again") from error
    if outside or not names:
        raise InputError(f"'{folder / INDEX}' names no files of its own folder: save the model again")
    for name in names:
        if not (folder / name).is_file():
            raise InputError(f"'{folder}' lacks {name}, which {INDEX} names: copy it there")
    return names
