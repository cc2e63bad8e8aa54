"""The undefended classifier in PyTorch: fused attention, no gradient, length-sorted micro-batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import require
from ..runtime.batches import pad, plan
from ..runtime.tokenization import Tokenizer
from .tally import Tally


class BareTorch:
    """A checkpoint as a careful user of PyTorch would serve it.

    Args:
        model_dir: folder with a sequence classifier in safetensors.
        tokenizer: of the guarded artifact.
        token_budget: padded tokens in one micro-batch.
    """

    def __init__(self, model_dir: Path, tokenizer: Tokenizer, token_budget: int = 1024) -> None:
        self._torch: Any = require("torch", "export")
        from ..export.forward import load_source

        self._model = load_source(model_dir).module
        self._model.set_attn_implementation("sdpa")
        self._tokenizer = tokenizer
        self._token_budget = token_budget
        self.tally = Tally()

    def classify(self, texts: Sequence[str]) -> list[int]:
        """Class number of each text, in their order."""
        encodings = self._tokenizer.encode(texts)
        labels = [0] * len(texts)
        with self._torch.inference_mode():
            for group in plan([len(encoding) for encoding in encodings], self._token_budget):
                batch = pad([encodings[i] for i in group], self._tokenizer.pad_id)
                ids, mask = map(self._torch.from_numpy, (batch.input_ids, batch.attention_mask))
                logits = self._model(input_ids=ids, attention_mask=mask).logits
                self.tally.tokens += int(batch.attention_mask.sum())
                for index, label in zip(group, logits.argmax(dim=1).tolist(), strict=True):
                    labels[index] = label
        self.tally.forwards += len(texts)
        return labels
