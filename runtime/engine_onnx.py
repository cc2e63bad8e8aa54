"""The ONNX Runtime engine: the guarded graph in one session, on CPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import EngineError
from .batch_cost import BatchCost
from .engine import Arrays, Batch
from .session import SessionSettings, feed_names, open_optimized, open_session


class OnnxEngine:
    """A session over ``model.onnx``.

    Args:
        path: the guarded graph.
        threads: threads inside an operator, whatever ``settings`` say; 0 leaves it to them.
        settings: of the session.
        packed: as the artifact says of the graph.
        optimized: a file that ``open_session`` wrote on this machine with these settings, to open in place of ``path``.

    Raises:
        EngineError: the file cannot be loaded.
        MissingExtraError: onnxruntime is not installed.
    """

    name = "onnx"

    def __init__(
        self,
        path: Path,
        threads: int = 0,
        settings: SessionSettings | None = None,
        optimized: Path | None = None,
        *,
        packed: bool = False,
    ) -> None:
        self.cost = BatchCost(packed=packed)
        settings = settings or SessionSettings()
        if threads:
            settings = replace(settings, threads=threads)
        self._session = open_session(path, settings) if optimized is None else open_optimized(optimized, settings)
        self._inputs = feed_names(self._session)
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
