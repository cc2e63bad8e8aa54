"""Kernel tests: natively where there is a GPU, else in Triton's interpreter, started by `test_interpreter.py`."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

KERNELS = ("token_scores", "flash_received", "flash_backward", "layer_norm_backward", "gelu_backward")
HAS_KERNELS = all(importlib.util.find_spec(name) for name in ("torch", "triton"))
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

if HAS_KERNELS:
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    NATIVE = torch.cuda.is_available() and not INTERPRETED
    if INTERPRETED:
        from triton.runtime import interpreter

        original = interpreter.InterpreterBuilder.create_dot

        def create_dot(builder: Any, a: Any, b: Any, d: Any, *options: Any) -> Any:
            """Triton 3.9 multiplies the bit patterns of bfloat16 factors; give it their values."""
            return original(builder, *(_widened(x) for x in (a, b)), d, *options)

        def _widened(x: Any) -> Any:
            if x.dtype.scalar.name != "bf16":
                return x
            return interpreter.TensorHandle((x.data.astype("uint32") << 16).view("float32"), interpreter.tl.float32)

        interpreter.InterpreterBuilder.create_dot = create_dot
    if not (NATIVE or INTERPRETED):
        # Triton decides when it is imported whether to interpret, so these need a process of their own.
        collect_ignore = [f"test_{kernel}.py" for kernel in KERNELS]
else:
    NATIVE = False
    collect_ignore = [f"test_{kernel}.py" for kernel in (*KERNELS, "segments", "launch", "interpreter")]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if NATIVE and item.path.parent == Path(__file__).parent and item.path.stem.removeprefix("test_") in KERNELS:
            item.add_marker(pytest.mark.gpu)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.option.markexpr == "gpu" and not NATIVE:
        terminalreporter.write_line("no NVIDIA GPU here: no kernel ran natively", yellow=True)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if session.config.option.markexpr == "gpu" and not NATIVE and exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.OK


@pytest.fixture
def device() -> str:
    return "cuda" if NATIVE else "cpu"


@pytest.fixture
def packed_qkv(fences: Any, device: str) -> Any:
    """Makes random q, k, v [rows, H, D] as slices of one projection, poison around it."""

    def make(rows: int, H: int, D: int, dtype: Any = None, scale: float = 1.0) -> tuple[Any, ...]:
        generator = torch.Generator().manual_seed(rows * 100 + H * 10 + D)
        together = torch.randn(rows, 3, H, D, generator=generator) * scale
        qkv: tuple[Any, ...] = fences.around(together.to(dtype or torch.float32).to(device)).unbind(1)
        return qkv

    return make


@pytest.fixture
def fences() -> Iterator[Any]:
    """Poisoned memory around tensors: `with fences:` for what is allocated inside, `fences.around(x)` for inputs."""
    fences = Fences()
    yield fences
    fences.check()


if HAS_KERNELS:
    ALLOCATIONS = {
        torch.ops.aten.empty.memory_format,
        torch.ops.aten.empty_like.default,
        torch.ops.aten.new_empty.default,
        torch.ops.aten.zeros.default,
    }

    class Fences(TorchDispatchMode):
        """Puts every new tensor between two strips of a value that no kernel computes, NaN for floats.

        A read outside a tensor turns results into NaN; a write is found by :meth:`check`.
        """

        WIDTH = 4096

        def __init__(self) -> None:
            super().__init__()
            self._buffers: list[torch.Tensor] = []

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = function(*args, **(kwargs or {}))
            if function not in ALLOCATIONS:
                return result
            return self.around(result if function is torch.ops.aten.zeros.default else self._poison(result))

        def around(self, tensor: torch.Tensor) -> torch.Tensor:
            buffer = self._poison(tensor.new_empty(tensor.numel() + 2 * self.WIDTH))
            inside = buffer[self.WIDTH : -self.WIDTH].view(tensor.shape)
            inside.copy_(tensor)
            self._buffers.append(buffer)
            return inside

        def check(self) -> None:
            for buffer in self._buffers:
                strips = torch.cat([buffer[: self.WIDTH], buffer[-self.WIDTH :]])
                assert torch.equal(strips.view(torch.uint8), self._poison(torch.empty_like(strips)).view(torch.uint8))

        @staticmethod
        def _poison(tensor: torch.Tensor) -> torch.Tensor:
            if tensor.dtype == torch.bool:
                return tensor.fill_(True)
            return tensor.fill_(float("nan") if tensor.is_floating_point() else 85)
