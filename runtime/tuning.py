"""Session settings that were measured on this machine, kept in the user's cache folder, outside the artifact.

What is found there is used only if it is the user's own, unaltered, and was measured for this graph, on this processor,
with this version of ONNX Runtime; else it is as if it were not there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..artifact import GRAPH, Artifact
from ..checksums import file_sha256, listed_sums
from ..errors import ArtifactError, require
from ..files import replace_text
from ..records import from_json, to_json
from .cores import usable_cores
from .session import FUSIONS, SessionSettings

SCHEMA = 1
_SETTINGS, _OPTIMIZED = "settings.json", "optimized.onnx"
_MOST_THREADS = 1024
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Host:
    """What settings depend on besides the graph; ``processor`` is its name and a digest of its instruction sets."""

    processor: str
    cores: int
    onnxruntime: str


@dataclass(frozen=True)
class Tuned:
    """What was found best.

    Attributes:
        graph: digest of the graph's files.
        measured: what was least: ``time`` of a pass, or ``processor time`` where cores are shared.
        cost: of a pass with these settings, in units of one with the default settings.
        optimized: digest of the optimised graph that is kept beside; None where none is.
    """

    graph: str
    machine: Host
    settings: SessionSettings
    measured: str
    cost: float
    optimized: str | None = None
    schema: int = SCHEMA


@dataclass(frozen=True)
class Stored:
    """Settings as they lie in the cache; ``optimized`` is the checked graph to open in place of the artifact's."""

    tuned: Tuned
    folder: Path
    optimized: Path | None


def this_host() -> Host:
    """The machine that this process runs on.

    Raises:
        MissingExtraError: onnxruntime is not installed.
    """
    version = require("onnxruntime", "cpu").__version__
    return Host(_processor(), usable_cores(), version)


def graph_digest(artifact: Artifact) -> str:
    """One digest of the graph and of its weights, which may lie in a file beside it; calibrating does not change it."""
    sums = listed_sums(artifact.path)
    lines = [f"{sums[name]}  {name}\n" for name in sorted(sums) if name.startswith(GRAPH)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def folder_of(graph: str, machine: Host) -> Path:
    """Where the settings for a graph on a machine belong: under ``$XDG_CACHE_HOME``, or ``~/.cache``."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    key = hashlib.sha256(json.dumps([graph, to_json(machine)]).encode()).hexdigest()[:32]
    return Path(root) / "tokenward" / "tuned" / key


def store(tuned: Tuned, optimized: Path | None) -> Path:
    """Keep settings, and the optimised graph if there is one, in place of what was kept; return the folder.

    Raises:
        OSError: the cache folder cannot be written.
    """
    target = folder_of(tuned.graph, tuned.machine)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=target.parent) as beside:  # only its owner may look into it
        folder = Path(beside) / "new"
        folder.mkdir(mode=0o700)
        if optimized is not None:
            shutil.copyfile(optimized, folder / _OPTIMIZED)
        replace_text(folder / _SETTINGS, json.dumps(to_json(tuned), indent=2) + "\n")
        for path in folder.iterdir():
            path.chmod(0o600)  # what a umask lets a group write is not read again
        if target.exists():
            target.rename(Path(beside) / "old")
        folder.rename(target)
    return target


def stored(artifact: Artifact) -> Stored | None:
    """Settings for this graph on this machine; None, and a line in the log, where what lies there cannot be trusted."""
    machine = this_host()
    try:
        graph = graph_digest(artifact)
        folder = folder_of(graph, machine)
        if not folder.is_dir():
            return None
        return _read(folder, graph, machine)
    except (ArtifactError, OSError, RuntimeError, ValueError) as error:
        _log.warning("tuned settings are not used: %s: run 'tokenward tune' again", error)
        return None


def _read(folder: Path, graph: str, machine: Host) -> Stored:
    for path in (folder, *folder.iterdir()):
        _require_own(path)
    tuned = from_json(Tuned, json.loads((folder / _SETTINGS).read_text(encoding="utf-8")), _SETTINGS)
    if (tuned.schema, tuned.graph, tuned.machine) != (SCHEMA, graph, machine):
        raise ArtifactError(f"{folder / _SETTINGS} is for another graph, machine or version")
    settings = tuned.settings
    if not 0 <= settings.threads <= _MOST_THREADS or not set(settings.disabled) <= set(FUSIONS):
        raise ArtifactError(f"{folder / _SETTINGS} holds settings that 'tokenward tune' does not choose")
    optimized = None if tuned.optimized is None else folder / _OPTIMIZED
    if optimized is not None and file_sha256(optimized) != tuned.optimized:
        raise ArtifactError(f"{optimized} does not match its checksum")
    return Stored(tuned, folder, optimized)


def _require_own(path: Path) -> None:
    """Others must not be able to choose the graph that this user runs."""
    status = path.lstat()
    if path.is_symlink() or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise ArtifactError(f"{path} belongs to, or can be written by, another user")


@cache
def _processor() -> str:
    """Name and instruction sets of the first core."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    sets = " ".join(sorted(fields.get("flags", fields.get("Features", "")).split()))
    return f"{fields.get('model name', platform.machine())} {hashlib.sha256(sets.encode()).hexdigest()[:12]}"
