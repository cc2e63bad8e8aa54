"""Runs the kernel tests in Triton's interpreter, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_kernels_in_the_interpreter():
    """A kernel without a test file fails here, too."""
    kernels = [path.stem for path in HERE.parents[1].glob("kernels/*.py") if "@triton.jit" in path.read_text("utf-8")]
    files = [str(HERE / f"test_{kernel}.py") for kernel in sorted(kernels)]
    # One thread: the interpreter's arrays are small, and other test processes share the cores.
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", *files, "-p", "no:cacheprovider", "-p", "no:xdist"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=290, check=False)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
