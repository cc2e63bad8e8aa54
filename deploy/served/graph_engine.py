"""The engine inside Triton: runs the guarded graph as another model of the server (business-logic scripting)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from ...artifact import GraphInfo
from ...errors import EngineError
from ...runtime.batch_cost import BatchCost
from ...runtime.engine import ALWAYS_SKIP, NEVER_SKIP, Arrays, Batch

# What decisions read; the rest is only asked for when the gradient is wanted, since every output is a copy.
_FORWARD = ("logits", "class_attention", "class_attention_by_layer")
_SCORES = ("anomaly_score", "suspect", "scored", "token_scores")


class GraphUnavailableError(EngineError):
    """The graph's model is not loaded, or its queue is full: the caller may try again."""


class GraphEngine:
    """Calls ``model`` for every batch, in chunks of at most ``max_rows`` rows.

    Args:
        model: name of the graph's model.
        graph: what the graph takes and gives.
        max_rows: most rows in one call.
    """

    name = "triton"
    cost = BatchCost(4096)  # it may be on a GPU, where a batch that does not fill it takes as long as one that does

    def __init__(self, model: str, graph: GraphInfo, max_rows: int) -> None:
        self._model = model
        self._graph = graph
        self._max_rows = max_rows
        # Outputs of a graph on a GPU come back in host memory.
        self._memory = pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0)

    def run(self, batch: Batch, gate: float) -> Arrays:
        """Run one batch; see :class:`~tokenward.runtime.engine.Engine`.

        Raises:
            GraphUnavailableError: the graph cannot answer now.
            EngineError: the graph failed.
        """
        outputs = self._outputs(gate)
        ids, mask, most = batch.input_ids, batch.attention_mask, self._max_rows
        parts = [self._call(ids[i : i + most], mask[i : i + most], gate, outputs) for i in range(0, len(ids), most)]
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in outputs}

    def _outputs(self, gate: float) -> list[str]:
        if gate == NEVER_SKIP:
            return list(self._graph.outputs)
        wanted = _FORWARD if gate == ALWAYS_SKIP else _FORWARD + _SCORES
        return [name for name in wanted if name in self._graph.outputs]

    def _call(self, ids: Any, mask: Any, gate: float, outputs: Sequence[str]) -> dict[str, Any]:
        feed = {
            "input_ids": ids,
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(ids),
            "gate": np.array([gate], dtype=np.float32),
        }
        request = pb_utils.InferenceRequest(
            model_name=self._model,
            requested_output_names=list(outputs),
            inputs=[pb_utils.Tensor(name, np.ascontiguousarray(feed[name])) for name in self._graph.inputs],
            preferred_memory=self._memory,
        )
        response = request.exec()
        if response.has_error():
            raise _translated(response.error(), self._model)
        return {name: pb_utils.get_output_tensor_by_name(response, name).as_numpy() for name in outputs}


def _translated(error: Any, model: str) -> EngineError:
    """The message of the server may name paths of the machine, so it goes to the log alone."""
    pb_utils.Logger.log_error(f"the guarded graph failed: {error.message()}")
    # A model that is not loaded is reported as an internal error, so the code alone does not tell.
    gone = "is not ready" in error.message() or not pb_utils.is_model_ready(model)
    if gone or error.code() == pb_utils.TritonError.UNAVAILABLE:
        return GraphUnavailableError("the guarded graph is not ready: try again")
    return EngineError("the guarded graph failed on a batch: see the server's log")
