"""The undefended classifier in ONNX Runtime: what people serve today, and the yardstick of cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import require
from ..runtime.batches import pad, plan
from ..runtime.session import SessionSettings, open_session
from ..runtime.tokenization import Tokenizer
from .tally import Tally


def export_bare(model_dir: Path, path: Path) -> None:
    """Write a checkpoint's plain forward pass as an ONNX file, as any exporter would."""
    ir: Any = require("onnx_ir", "export")
    from ..export.forward import export_forward, load_source

    ir.save(export_forward(load_source(model_dir)), str(path))


class BareOnnx:
    """A plain session behind the same tokenizer and micro-batches as the guard's.

    Args:
        path: a file that :func:`export_bare` wrote.
        tokenizer: of the guarded artifact.
        threads: threads inside an operator; 0 takes ONNX Runtime's default.
        token_budget: padded tokens in one micro-batch.
        tuned: open the session as the guard opens its own, instead of in ONNX Runtime's default settings.
    """

    def __init__(
        self, path: Path, tokenizer: Tokenizer, threads: int = 0, token_budget: int = 1024, tuned: bool = False
    ) -> None:
        self._session = open_session(path, SessionSettings(threads)) if tuned else _default_session(path, threads)
        self.tokenizer = tokenizer
        self.tally = Tally()
        self._token_budget = token_budget
        self._classes = int(self._session.get_outputs()[0].shape[1])

    def logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Logits float32 [texts, classes], in their order."""
        encodings = self.tokenizer.encode(texts)
        rows = np.empty((len(texts), self._classes), np.float32)
        for group in plan([len(encoding) for encoding in encodings], self._token_budget):
            batch = pad([encodings[i] for i in group], self.tokenizer.pad_id)
            feed = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
            (logits,) = self._session.run(["logits"], feed)
            self.tally.tokens += int(batch.attention_mask.sum())
            rows[group] = logits
        self.tally.forwards += len(texts)
        return rows

    def classify(self, texts: Sequence[str]) -> list[int]:
        """Class number of each text, in their order."""
        return [int(row.argmax()) for row in self.logits(texts)]


def _default_session(path: Path, threads: int) -> Any:
    ort: Any = require("onnxruntime", "cpu")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
