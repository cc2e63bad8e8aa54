"""A server process to measure: started, watched and stopped."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import EngineError, require
from .http_load import Address


@dataclass(frozen=True)
class Footprint:
    """What a process holds."""

    megabytes: float
    threads: int
    files: int


class Served:
    """A running ``tokenward serve``."""

    def __init__(self, process: subprocess.Popen[str], address: Address) -> None:
        self._process = process
        self.address = address
        self._watched = require("psutil", "bench").Process(process.pid)

    def footprint(self) -> Footprint:
        """Resident memory, threads and open files of the server now."""
        with self._watched.oneshot():
            memory = self._watched.memory_info().rss / 2**20
            return Footprint(memory, self._watched.num_threads(), self._watched.num_fds())

    def metric(self, name: str, **labels: str) -> float:
        """Sum of the samples of a metric that have these labels, whatever their others."""
        with urllib.request.urlopen("http://{}:{}/metrics".format(*self.address), timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        found = [line for line in lines if re.match(name + r"[{ ]", line) and all(pair in line for pair in wanted)]
        return sum(float(line.rpartition(" ")[2]) for line in found)


@contextmanager
def served(artifact: Path, *options: str) -> Iterator[Served]:
    """Serve an artifact on a free port of this machine, and end the server in good order.

    Raises:
        EngineError: the server did not start; its last line says why.
    """
    command = [sys.executable, "-m", "tokenward", "serve", str(artifact), "--port", "0", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        yield Served(process, _address(process))
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()


def _address(process: subprocess.Popen[str]) -> Address:
    assert process.stderr is not None
    line = ""
    for line in process.stderr:
        if found := re.search(r"running on http://([\d.]+):(\d+)", line):
            # Whatever it says later must be read, or the pipe fills up and the server stands still.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return found[1], int(found[2])
    raise EngineError(f"the server did not start: {line.strip()}")
