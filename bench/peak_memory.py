"""Peak memory of one system: the high-water mark of a fresh process while it answers."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from .overhead_systems import Setup, Systems

_CALIBRATION = 4  # texts: enough to be able to answer


def peak_memory(setup: Setup, system: str, blocks: Sequence[Sequence[str]]) -> float:
    """MiB that a process of its own holds at most while a system answers; libraries and weights count.

    Loading does not count where the kernel lets a process reset its high-water mark.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(_answer, setup, system, blocks).result()


def _answer(setup: Setup, system: str, blocks: Sequence[Sequence[str]]) -> float:
    contestant = Systems(setup, _CALIBRATION).build(system)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    for block in blocks:
        contestant.classify(block)
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024
