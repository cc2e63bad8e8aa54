"""The undefended classifier in ONNX Runtime's default settings: what people serve today, and the yardstick of cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import require
from ..runtime.batches import pad, plan
from ..runtime.tokenization import Tokenizer


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
    """

    def __init__(self, path: Path, tokenizer: Tokenizer, threads: int = 0, token_budget: int = 1024) -> None:
        ort: Any = require("onnxruntime", "cpu")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._tokenizer = tokenizer
        self._token_budget = token_budget

    def classify(self, texts: Sequence[str]) -> list[int]:
        """Class number of each text, in their order."""
        encodings = self._tokenizer.encode(texts)
        labels = [0] * len(texts)
        for group in plan([len(encoding) for encoding in encodings], self._token_budget):
            batch = pad([encodings[i] for i in group], self._tokenizer.pad_id)
            feed = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
            (logits,) = self._session.run(["logits"], feed)
            for index, label in zip(group, logits.argmax(axis=1).tolist(), strict=True):
                labels[index] = label
        return labels
