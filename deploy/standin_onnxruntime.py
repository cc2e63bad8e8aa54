"""Test equipment: a stand-in for Triton's C++ onnxruntime backend, which no package index carries.

Installed as ``backends/onnxruntime/model.py`` it serves, unchanged, every model whose configuration says
``backend: "onnxruntime"``. Production servers use the real one; this one ignores ``optimization`` settings and does
not check shapes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """One session over ``<version>/model.onnx``; one request per run, since guarded graphs turn batching off."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the graph."""
        config = json.loads(args["model_config"])
        options = onnxruntime.SessionOptions()
        threads = config["parameters"].get("intra_op_thread_count", {"string_value": "0"})
        options.intra_op_num_threads = int(threads["string_value"])
        options.log_severity_level = 3
        path = (
            Path(args["model_repository"]) / args["model_version"] / (config["default_model_filename"] or "model.onnx")
        )
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        known = (*self._session.get_inputs(), *self._session.get_overridable_initializers())
        self._scalars = {value.name for value in known if not value.shape}

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Run every request on its own."""
        return [self._run(request) for request in requests]

    def _run(self, request: Any) -> Any:
        names = list(request.requested_output_names())
        feed = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        for name in self._scalars:
            feed[name] = feed[name].reshape(())
        try:
            arrays = self._session.run(names, feed)
        except Exception as error:  # as the C++ backend does: an error of its own, naming the fault
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"onnx runtime error: {error}"))
        tensors = [pb_utils.Tensor(name, array) for name, array in zip(names, arrays, strict=True)]
        return pb_utils.InferenceResponse(output_tensors=tensors)
