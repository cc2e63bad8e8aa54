"""What the device can do at most, as measured here: the figures that achieved rates are compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import triton

from ..kernels.segments import Segments
from ..kernels.token_scores import token_scores

_REPEATS = 20


def copy_bandwidth(size: int = 1 << 30) -> float:
    """Bytes per second read and written by a copy of ``size`` bytes."""
    source = torch.empty(size, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * size / _seconds(lambda: target.copy_(source))


def matmul_rate(width: int = 8192) -> float:
    """Multiplications and additions per second of a square product in float16."""
    a, b = torch.randn(2, width, width, dtype=torch.float16, device="cuda")
    return 2 * width**3 / _seconds(lambda: a @ b)


def scores_alone(texts: int, tokens: int, width: int) -> tuple[Callable[[], object], int]:
    """The scoring kernel on random gradients in float16, and the bytes of them that it reads."""
    rows = texts * tokens
    gradient = torch.randn(rows, width, dtype=torch.float16, device="cuda")
    received = torch.rand(rows, device="cuda")
    ids = torch.randint(30000, (rows,), device="cuda")
    table = torch.ones(30000, dtype=torch.bool, device="cuda")
    places = Segments.packed([tokens] * texts, "cuda")
    return lambda: token_scores(gradient, received, ids, table, places), gradient.numel() * 2


def on_device(run: Callable[[], object]) -> dict[str, float]:
    """Percentiles of the time that the device takes, in milliseconds: what the host does to launch it is left out."""
    p20, p50, p80 = triton.testing.do_bench(run, quantiles=(0.2, 0.5, 0.8))
    return {"p20_ms": p20, "p50_ms": p50, "p80_ms": p80}


def _seconds(run: Callable[[], object]) -> float:
    """The least time of one run: a ceiling is what is reached undisturbed."""
    times: list[float] = []
    event: Any = torch.cuda.Event
    for _ in range(_REPEATS):
        start, end = (event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) / 1e3)
    return min(times)
