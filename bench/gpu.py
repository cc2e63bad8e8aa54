"""What the defence costs on a GPU, beside what the device can do: `python -m tokenward.bench.gpu`.

Every figure is appended to `bench/results/gpu.csv` with the device and the versions, and the file is drawn anew.
"""

from __future__ import annotations

import csv
import importlib.util
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

RESULTS = Path(__file__).parent / "results" / "gpu.csv"
TEXTS = (1, 8, 64, 256)
TOKENS = (32, 128, 512)
FIELDS = (
    "date", "device", "torch", "triton", "transformers", "model", "texts", "tokens", "system",
    "p20_ms", "p50_ms", "p80_ms", "peak_mib", "tflops", "share_of_matmul", "gb_per_s", "share_of_copy",
)  # fmt: skip
_LONGEST = 2.0  # seconds of timed runs of one system on one shape
_RUNS = 50


def main() -> None:
    """Measure everything; without a GPU, say so and measure nothing."""
    if any(importlib.util.find_spec(name) is None for name in ("torch", "triton", "transformers", "onnxruntime")):
        print("the GPU benchmark lacks a package: pip install 'tokenward[gpu,kernels,export]'")
        return
    import torch

    if not torch.cuda.is_available():
        print("no NVIDIA GPU here: nothing was measured")
        return
    from .gpu_ceilings import copy_bandwidth, matmul_rate, on_device, scores_alone
    from .gpu_plot import draw
    from .gpu_systems import SIZES

    bandwidth, rate = copy_bandwidth(), matmul_rate()
    print(f"{torch.cuda.get_device_name()}: copy {bandwidth / 1e9:.0f} GB/s, fp16 product {rate / 1e12:.0f} TFLOP/s")
    for texts, tokens, width in ((256, 512, 768), (256, 512, 1024)):
        run, read = scores_alone(texts, tokens, width)
        timed = on_device(run)
        achieved = read / (timed["p50_ms"] / 1e3)
        alone = {"gb_per_s": achieved / 1e9, "share_of_copy": achieved / bandwidth}
        record(RESULTS, [{"model": f"width {width}", "texts": texts, "tokens": tokens, "system": "token_scores alone",
                          **timed, **alone}])  # fmt: skip
    for name in SIZES:
        with TemporaryDirectory() as folder:
            _measure_model(name, Path(folder), rate)
    draw(RESULTS, RESULTS.with_suffix(".png"))
    print(f"written to {RESULTS} and drawn in {RESULTS.with_suffix('.png').name}")


def _measure_model(name: str, folder: Path, rate: float) -> None:
    from ..runtime.engine_onnx_cuda import cuda_obstacle
    from .gpu_systems import GATED, GUARDED, ONNX, PLAIN, SIZES, Subject, forward_flops, guarded_flops

    if obstacle := cuda_obstacle():
        print(f"{name:10}  {ONNX} is left out: {obstacle}")
    subject = Subject(SIZES[name], folder)
    for tokens in TOKENS:
        for texts in TEXTS:
            for system, run in subject.systems(subject.batch(texts, tokens)).items():
                timed = _time(run)
                row: dict[str, Any] = {"model": name, "texts": texts, "tokens": tokens, "system": system, **timed}
                if timed and system != GATED:
                    count = guarded_flops if system in (GUARDED, ONNX, PLAIN) else forward_flops
                    achieved = count(subject.size, texts, tokens) / (timed["p50_ms"] / 1e3)
                    row |= {"tflops": achieved / 1e12, "share_of_matmul": achieved / rate}
                record(RESULTS, [row])
                spent = f"{timed['p50_ms']:9.2f} ms  {timed['peak_mib']:8.0f} MiB" if timed else "out of memory"
                print(f"{name:10}  {texts:4} × {tokens:<4} {system:30} {spent}", flush=True)


def _time(run: Callable[[], object]) -> dict[str, float]:
    """Percentiles of the time and the peak of memory, model included; nothing where memory does not suffice."""
    import torch

    try:
        for _ in range(3):
            run()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        seconds: list[float] = []
        while len(seconds) < 5 or (sum(seconds) < _LONGEST and len(seconds) < _RUNS):
            start = time.perf_counter()
            run()
            torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
        return {}
    peak = torch.cuda.max_memory_allocated() / 2**20
    return {**percentiles(seconds), "peak_mib": peak}


def percentiles(seconds: Iterable[float]) -> dict[str, float]:
    """The 20th, 50th and 80th, in milliseconds."""
    cuts = statistics.quantiles([1e3 * s for s in seconds], n=10, method="inclusive")
    return {"p20_ms": cuts[1], "p50_ms": cuts[4], "p80_ms": cuts[7]}


def record(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append rows to the file, each with the device, the versions and the date; the file only grows."""
    import torch
    import transformers
    import triton

    made = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "torch": torch.__version__,
        "triton": triton.__version__,
        "transformers": transformers.__version__,
    }
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, FIELDS)
        if new:
            writer.writeheader()
        for row in rows:
            rounded = {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in row.items()}
            writer.writerow({**made, **rounded})


if __name__ == "__main__":
    main()
