"""The ONNX Runtime engine: the guarded graph in one session, on CPU."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..errors import EngineError, require
from .engine import Arrays, Batch


class OnnxEngine:
    """A session over ``model.onnx``.

    Args:
        path: the guarded graph.
        threads: threads inside an operator; 0 takes one per core this process may use.

    Raises:
        EngineError: the file cannot be loaded.
        MissingExtraError: onnxruntime is not installed.
    """

    name = "onnx"

    def __init__(self, path: Path, threads: int = 0) -> None:
        ort = require("onnxruntime", "cpu")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            # Fusing the residual add into LayerNormalization makes ONNX Runtime slower on CPU (measured 12 %).
            self._session = ort.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"], disabled_optimizers=["SkipLayerNormFusion"]
            )
        except Exception as error:  # the library's errors share no base class
            raise EngineError(f"ONNX Runtime cannot load {path.name}: export the model again") from error
        self._inputs = {value.name for value in self._session.get_inputs()}
        self._outputs = [value.name for value in self._session.get_outputs()]

    def run(self, batch: Batch, gate: float) -> Arrays:
        """Run one batch; see :class:`Engine`."""
        feed = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        if "token_type_ids" in self._inputs:
            feed["token_type_ids"] = np.zeros_like(batch.input_ids)
        if "gate" in self._inputs:
            feed["gate"] = np.array(gate, dtype=np.float32)
        try:
            return dict(zip(self._outputs, self._session.run(None, feed), strict=True))
        except Exception as error:  # the message names tensors and paths of the machine, which callers must not see
            raise EngineError("the graph failed on a batch: run 'tokenward inspect' on the artifact") from error
