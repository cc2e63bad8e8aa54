"""Runs the tests of kernels, and of the engine made of them, in Triton's interpreter, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# A kernel without a test file fails here, too.
KERNELS = sorted(path.stem for path in HERE.parents[1].glob("kernels/*.py") if "@triton.jit" in path.read_text("utf-8"))
ENGINES = [HERE.parent / "runtime" / f"test_engine_{name}.py" for name in ("torch", "onnx_cuda")]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "files", [[HERE / f"test_{kernel}.py" for kernel in KERNELS], ENGINES], ids=["kernels", "engines"]
)
def test_in_the_interpreter(files: list[Path], shared_folder: Path):
    # One thread: the interpreter's arrays are small, and other test processes share the cores.
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment = {**os.environ, **threads, "TRITON_INTERPRET": "1", "TESTS_SHARED": str(shared_folder)}
    command = [sys.executable, "-m", "pytest", *map(str, files), "-p", "no:cacheprovider", "-p", "no:xdist"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=590, check=False)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
