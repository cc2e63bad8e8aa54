"""X-GRAAD written plainly in PyTorch: the published method as one would write it down, for parity and for speed.

Attention matrices of every layer are returned by the model, autograd runs through the whole of it, and tokens are
scored one by one in Python, as in the published code. It is not slowed down on purpose: parameters need no gradient,
and texts go through in padded batches, repaired ones too. Definitions are those of :mod:`kernels.reference` (padded
queries do not count, where the published code counts them).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, require
from ..kernels.vocabulary import scored_table
from ..runtime.repair import make_noise

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class PlainScore:
    """One text's pass; per-token arrays are [n], padding removed.

    Attributes:
        offsets: character offsets of each token.
        token_scores: 0 at tokens that are not scored.
        anomaly_score: the largest token score; 0 where no token is scored.
        suspect: its position; −1 where no token is scored.
    """

    ids: list[int]
    offsets: list[tuple[int, int]]
    logits: NDArray[np.float32]
    attention_received: NDArray[np.float64]
    saliency: NDArray[np.float64]
    token_scores: NDArray[np.float64]
    anomaly_score: float
    suspect: int


@dataclass(frozen=True)
class PlainAnswer:
    """The defended answer for one text; labels are class indices."""

    label: int
    original_label: int
    anomaly_score: float
    suspicious: bool


class PlainXGraad:
    """The published defence around a transformers checkpoint.

    Args:
        model_dir: folder with a sequence classifier in safetensors and its fast tokenizer.
        batch_size: texts per batch, padded to the longest.
        max_tokens: longer texts are truncated.
        percentile: of the clean scores, for the threshold.
    """

    def __init__(self, model_dir: Path, batch_size: int = 32, max_tokens: int = 128, percentile: float = 95.0) -> None:
        self._torch: Any = require("torch", "export")
        transformers: Any = require("transformers", "export")
        from ..export.forward import load_source

        self._tokenizer = transformers.AutoTokenizer.from_pretrained(model_dir, local_files_only=True)
        self._model = load_source(model_dir).module.requires_grad_(False)
        self._embed = self._model.get_input_embeddings()
        self.scored = scored_table(self._tokenizer.backend_tokenizer, self._embed.num_embeddings)
        self._batch_size = batch_size
        self._max_tokens = max_tokens
        self._percentile = percentile
        self.threshold: float | None = None

    def fit(self, texts: Sequence[str]) -> None:
        """Set the threshold from clean texts."""
        self.threshold = float(np.percentile([s.anomaly_score for s in self.score(texts)], self._percentile))

    def classify(self, texts: Sequence[str]) -> list[PlainAnswer]:
        """Answer each text; suspicious ones are repaired and predicted again.

        Raises:
            InputError: :meth:`fit` has not been called.
        """
        if self.threshold is None:
            raise InputError("no threshold: call fit with clean texts first")
        scores = self.score(texts)
        labels = [int(score.logits.argmax()) for score in scores]
        suspicious = [i for i, s in enumerate(scores) if s.suspect >= 0 and s.anomaly_score >= self.threshold]
        answers = [PlainAnswer(label, label, s.anomaly_score, False) for label, s in zip(labels, scores, strict=True)]
        for start in range(0, len(suspicious), self._batch_size):
            chosen = suspicious[start : start + self._batch_size]
            logits = self._logits([self.repair(texts[i], scores[i]) for i in chosen])
            for i, label in zip(chosen, logits.argmax(axis=1).tolist(), strict=True):
                answers[i] = PlainAnswer(label, labels[i], scores[i].anomaly_score, True)
        return answers

    def score(self, texts: Sequence[str]) -> list[PlainScore]:
        """Score each text, in the order given."""
        return [
            score
            for start in range(0, len(texts), self._batch_size)
            for score in self._score_batch(texts[start : start + self._batch_size])
        ]

    def _score_batch(self, texts: Sequence[str]) -> list[PlainScore]:
        encoded = self._encode(texts)
        embeddings = self._embed(encoded["input_ids"]).requires_grad_(True)
        output = self._model(inputs_embeds=embeddings, attention_mask=encoded["attention_mask"], output_attentions=True)
        predicted = output.logits.max(dim=-1).values  # texts do not interact, so one sum gives each its own gradient
        (gradient,) = self._torch.autograd.grad(predicted.sum(), embeddings)
        attention = self._torch.stack(output.attentions).detach().mean(dim=(0, 2))
        scores = []
        for row, length in enumerate(encoded["attention_mask"].sum(dim=1).tolist()):
            ids = encoded["input_ids"][row, :length].tolist()
            offsets = [tuple(pair) for pair in encoded["offset_mapping"][row, :length].tolist()]
            logits = output.logits[row].detach().numpy()
            scores.append(
                self._score_text(ids, offsets, logits, attention[row, :length, :length], gradient[row, :length])
            )
        return scores

    def _score_text(
        self,
        ids: list[int],
        offsets: list[tuple[int, int]],
        logits: NDArray[np.float32],
        attention: Tensor,
        gradient: Tensor,
    ) -> PlainScore:
        """Score one text from its mean attention [n, n] and the gradient of its predicted logit [n, D]."""
        received = [float(attention[:, position].sum()) for position in range(len(ids))]
        saliency = [float(gradient[position].norm()) for position in range(len(ids))]
        positions = [position for position, token in enumerate(ids) if self.scored[token]]
        token_scores = [0.0] * len(ids)
        if positions and (mean_saliency := float(np.mean([saliency[p] for p in positions]))) > 0:
            mean_received = float(np.mean([received[p] for p in positions]))
            highest: dict[int, tuple[float, float]] = {}
            for p in positions:
                r, s = highest.get(ids[p], (received[p], saliency[p]))
                highest[ids[p]] = max(r, received[p]), max(s, saliency[p])
            for p in positions:
                r, s = highest[ids[p]]
                token_scores[p] = (r - mean_received) * (s / mean_saliency)
        suspect = max(positions, key=lambda p: token_scores[p], default=-1)
        return PlainScore(
            ids,
            offsets,
            logits,
            np.array(received),
            np.array(saliency),
            np.array(token_scores),
            token_scores[suspect] if suspect >= 0 else 0.0,
            suspect,
        )

    def repair(self, text: str, score: PlainScore) -> str:
        """Return the text with every occurrence of its suspect token made noise."""
        suspect = score.ids[score.suspect]
        return make_noise(text, [o for o, token in zip(score.offsets, score.ids, strict=True) if token == suspect])

    def _logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        encoded = self._encode(texts)
        with self._torch.no_grad():
            output = self._model(input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"])
        return np.asarray(output.logits)

    def _encode(self, texts: Sequence[str]) -> dict[str, Tensor]:
        encoded: dict[str, Tensor] = self._tokenizer(
            list(texts),
            padding=True,
            padding_side="right",
            truncation=True,
            max_length=self._max_tokens,
            return_tensors="pt",
            return_offsets_mapping=True,
        )
        return encoded
