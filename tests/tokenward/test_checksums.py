"""Checksums: standard sums, readable by standard tools, and digests of weights that do not depend on chance."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from tokenward.checksums import SUMS, file_sha256, seal, verify, weights_sha256
from tokenward.errors import ArtifactError


def test_a_sum_is_the_standard_one(tmp_path: Path) -> None:
    data = bytes(range(256)) * 10_000  # longer than one read
    (tmp_path / "file").write_bytes(data)
    assert file_sha256(tmp_path / "file") == hashlib.sha256(data).hexdigest()


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum here")
def test_a_sealed_folder_is_verified_by_standard_tools(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("2")
    (tmp_path / "a").write_text("1")
    seal(tmp_path)
    subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=tmp_path, check=True, capture_output=True)
    assert verify(tmp_path, ("a",)) == file_sha256(tmp_path / SUMS)


def test_a_file_that_may_miss(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    seal(tmp_path)
    (tmp_path / "b").unlink()
    verify(tmp_path, ("a", "b"), may_miss=("b",))
    with pytest.raises(ArtifactError, match="b is missing"):
        verify(tmp_path, ("a", "b"))


def test_weights_have_one_digest_over_all_their_files(tmp_path: Path) -> None:
    (tmp_path / "model-2.safetensors").write_bytes(b"second")
    single = weights_sha256(tmp_path)
    assert single == file_sha256(tmp_path / "model-2.safetensors")
    (tmp_path / "model-1.safetensors").write_bytes(b"first")
    both = weights_sha256(tmp_path)
    assert both not in (single, file_sha256(tmp_path / "model-1.safetensors"))
    other = tmp_path / "other"
    other.mkdir()
    for name in ("model-1.safetensors", "model-2.safetensors"):
        shutil.copy(tmp_path / name, other / name)
    assert weights_sha256(other) == both
    (other / "model-2.safetensors").write_bytes(b"altered")
    assert weights_sha256(other) != both
