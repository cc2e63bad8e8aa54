"""Weights are read, hashed and copied from the files that transformers reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tokenward.checksums import file_sha256, weights_sha256
from tokenward.errors import InputError
from tokenward.weight_files import weight_files


def indexed(folder: Path, content: object) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps(content))


def test_what_lies_beside_the_one_file_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "old.safetensors").write_bytes(b"left over")
    indexed(tmp_path, {"weight_map": {"a": "old.safetensors"}})
    assert weight_files(tmp_path) == [tmp_path / "model.safetensors"]
    assert weights_sha256(tmp_path) == file_sha256(tmp_path / "model.safetensors")


def test_an_index_names_the_files(tmp_path: Path) -> None:
    for name in ("model-2", "model-1", "old"):
        (tmp_path / f"{name}.safetensors").write_bytes(name.encode())
    indexed(tmp_path, {"weight_map": {"a": "model-2.safetensors", "b": "model-1.safetensors"}})
    assert [path.name for path in weight_files(tmp_path)] == ["model-1.safetensors", "model-2.safetensors"]
    digest = weights_sha256(tmp_path)
    (tmp_path / "old.safetensors").unlink()
    assert weights_sha256(tmp_path) == digest


def test_without_either_all_are_read(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.safetensors").write_bytes(b"weights")
    assert [path.name for path in weight_files(tmp_path)] == ["a.safetensors", "b.safetensors"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ([], "is no index of weights"),
        ({"weight_map": {"a": 1}}, "is no index of weights"),
        ({"weight_map": {}}, "names no files of its own folder"),
        ({"weight_map": {"a": "../model.safetensors"}}, "names no files of its own folder"),
        ({"weight_map": {"a": "gone.safetensors"}}, r"lacks gone\.safetensors, which model"),
    ],
)
def test_a_broken_index_is_one_line(content: object, complaint: str, tmp_path: Path) -> None:
    indexed(tmp_path, content)
    with pytest.raises(InputError, match=complaint):
        weight_files(tmp_path)
