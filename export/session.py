"""ONNX Runtime sessions as the runtime opens them, so that export checks what will be served."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import require


def serving_session(path: Path) -> Any:
    """Open a graph with all optimisations but the fusion that the runtime leaves out, too."""
    ort = require("onnxruntime", "cpu")
    options = ort.SessionOptions()
    options.log_severity_level = 4  # a failure comes as an exception, and is told once
    return ort.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"], disabled_optimizers=["SkipLayerNormFusion"]
    )


def run_graph(session: Any, feed: Mapping[str, NDArray[Any]], gate: float = -np.inf) -> dict[str, NDArray[Any]]:
    """Run a guarded graph and return its outputs by name; ``gate`` is left out where the graph has none."""
    names = {value.name for value in (*session.get_inputs(), *session.get_overridable_initializers())}
    inputs = {**feed, "gate": np.array(gate, np.float32)}
    outputs = session.run(None, {name: array for name, array in inputs.items() if name in names})
    return dict(zip((value.name for value in session.get_outputs()), outputs, strict=True))
