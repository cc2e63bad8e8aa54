"""SHA-256 sums of files: sealing a folder, and finding what is missing, added or altered in it later."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

from .errors import ArtifactError
from .files import replace_text
from .weight_files import weight_files

SUMS = "SHA256SUMS"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, as lower-case hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def weights_sha256(folder: Path) -> str:
    """One digest of the weights of a checkpoint folder, its files in the order of their names."""
    files = weight_files(folder)
    if len(files) == 1:
        return file_sha256(files[0])
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{file_sha256(path)}  {path.name}\n".encode())
    return digest.hexdigest()


def verify(folder: Path, required: Collection[str], may_miss: Collection[str] = ()) -> str:
    """Check every file of a folder against its list and return the digest of the list.

    Args:
        folder: what :func:`seal` sealed.
        required: names that the list must hold.
        may_miss: listed files that need not be there.

    Raises:
        ArtifactError: the folder, its list or a file is missing, a file is not listed, or a checksum differs.
    """
    if not folder.is_dir():
        raise ArtifactError(f"no artifact at '{folder}': expected a folder written by 'tokenward export'")
    listed = listed_sums(folder)
    for name in required:
        if name not in listed:
            raise ArtifactError(f"{SUMS} does not list {name}: the artifact is incomplete, export it again")
    for name in sorted(p.name for p in folder.iterdir() if p.name != SUMS):
        if name not in listed:
            raise ArtifactError(f"'{name}' is not listed in {SUMS}: remove it or export the artifact again")
    for name, expected in listed.items():
        if not (folder / name).is_file():
            if name in may_miss:
                continue
            raise ArtifactError(f"{name} is missing from '{folder}': copy or export the artifact again")
        if file_sha256(folder / name) != expected:
            raise ArtifactError(f"{name} does not match its checksum: the artifact is corrupt or was altered")
    return file_sha256(folder / SUMS)


def listed_sums(folder: Path) -> dict[str, str]:
    """Checksums by file name, as a folder's list has them.

    Raises:
        ArtifactError: there is no list, or it cannot be read.
    """
    path = folder / SUMS
    if not path.is_file():
        raise ArtifactError(f"'{folder}' has no {SUMS}: it is not an artifact, or was not written to the end")
    listed = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        expected, _, name = line.partition("  ")
        if len(expected) != 64 or not name or Path(name).name != name:
            raise ArtifactError(f"{SUMS} has an unreadable line: {line[:80]!r}")
        listed[name] = expected
    return listed


def seal(folder: Path) -> None:
    """Write the list of checksums of all files in a folder."""
    names = sorted(p.name for p in folder.iterdir() if p.name != SUMS)
    replace_text(folder / SUMS, "".join(f"{file_sha256(folder / name)}  {name}\n" for name in names))
