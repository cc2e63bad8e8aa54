"""Work that ONNX Runtime really did in a pass: multiplications and bytes, from the shapes in its own profile."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..errors import require

_PRODUCTS = (
    "MatMul",
    "FusedMatMul",
    "Gemm",
    "FusedGemm",
    "MatMulInteger",
    "MatMulIntegerToFloat",
    "DynamicQuantizeMatMul",
)
_BYTES = {"float": 4, "float16": 2, "double": 8, "int64": 8, "int32": 4}  # others: one


@dataclass(frozen=True)
class Work:
    """One pass: floating-point operations of its matrix products (a multiply-add is two), bytes that its operators
    read and wrote, and how many operators ran."""

    flops: float
    bytes: float
    operators: int


def count_work(path: Path, run: Callable[[Any], object]) -> Work:
    """Profile one call of ``run`` with a session over the graph at ``path``.

    What the optimiser fused or left out, and branches that were not taken, are not counted: this is what was executed.
    """
    ort: Any = require("onnxruntime", "cpu")
    with TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        options.log_severity_level = 3
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        run(session)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    nodes = [event["args"] for event in events if event.get("name", "").endswith("_kernel_time")]
    leaves = [node for node in nodes if node["op_name"] not in ("If", "Loop", "Scan")]
    return Work(
        sum(_flops(node) for node in leaves),
        sum(_size(t) for node in leaves for t in [*node["input_type_shape"], *node["output_type_shape"]]),
        len(leaves),
    )


def _flops(node: dict[str, Any]) -> float:
    if node["op_name"] not in _PRODUCTS:
        return 0.0
    ((_, left),) = node["input_type_shape"][0].items()
    ((_, out),) = node["output_type_shape"][0].items()
    # Elements of the left factor for each row of the result: the depth, whichever way it is transposed.
    return float(2 * math.prod(left) * (out[-1] if out else 1))


def _size(tensor: dict[str, list[int]]) -> float:
    ((kind, shape),) = tensor.items()
    return float(math.prod(shape) * _BYTES.get(kind, 1))
