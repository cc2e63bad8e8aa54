"""Where figures come from: the processor, its cores and memory, and the versions of what ran."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..runtime.cores import usable_cores

PACKAGES = ("tokenward", "onnxruntime", "torch", "transformers", "tokenizers", "numpy")


@dataclass(frozen=True)
class Machine:
    """Where it was measured; ``memory`` in MiB, ``threads`` that each system was given."""

    cpu: str
    cores: int
    threads: int
    memory: int
    system: str


def this_machine(threads: int | None = None) -> Machine:
    """The machine that this runs on."""
    cores = usable_cores()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    return Machine(_cpu(), cores, threads or cores, memory, f"{platform.system()} {platform.machine()}")


def package_versions() -> dict[str, str]:
    """Python and the packages that the figures hang on, those that are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
