"""X-GRAAD written plainly in PyTorch: the published method as one would write it down, for parity and for speed.

Das, Chen, Bhuyan: Unmasking Backdoors: An Explainable Defense via Gradient-Attention Anomaly Scoring for Pre-trained
Language Models (arXiv:2510.04347). A text is suspicious where its largest token score, attention received times
saliency, reaches the 95th percentile of clean texts; the token is then made noise and the text predicted again.

Attention matrices of every layer are returned by the model, autograd runs through the whole of it, and tokens are
scored one by one in Python, as in the published code. It is not slowed down on purpose: parameters need no gradient,
and texts go through in length-sorted batches, repaired ones too. Definitions are those of :mod:`kernels.reference`
(padded queries do not count, where the published code counts them).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import require
from ...kernels.vocabulary import scored_table
from ...runtime.batches import plan
from ...runtime.repair import make_noise
from ..tally import Tally
from .peer import Answer, fitted, some

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


class PlainXGraad:
    """The published defence around a transformers checkpoint.

    Args:
        model_dir: folder with a sequence classifier in safetensors and its fast tokenizer.
        token_budget: padded tokens in one batch.
        max_tokens: longer texts are truncated.
        percentile: of the clean scores, for the threshold.
    """

    name = "X-GRAAD"

    def __init__(
        self, model_dir: Path, token_budget: int = 1024, max_tokens: int = 128, percentile: float = 95.0
    ) -> None:
        self._torch: Any = require("torch", "export")
        transformers: Any = require("transformers", "export")
        from ...export.forward import load_source

        safe = {"local_files_only": True, "trust_remote_code": False}
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(model_dir, **safe)
        self._model = load_source(model_dir).module.requires_grad_(False)
        self._embed = self._model.get_input_embeddings()
        self.scored = scored_table(self._tokenizer.backend_tokenizer, self._embed.num_embeddings)
        self._token_budget = token_budget
        self._max_tokens = max_tokens
        self._percentile = percentile
        self.threshold: float | None = None
        self.tally = Tally()

    @property
    def settings(self) -> Mapping[str, float | int | str]:
        """See :class:`Peer`."""
        return {"percentile": self._percentile, "threshold": fitted(self.threshold)}

    def fit(self, texts: Sequence[str]) -> None:
        """Set the threshold from clean texts; see :class:`Peer`."""
        scores = [score.anomaly_score for score in self.score(some(texts))]
        self.threshold = float(np.percentile(scores, self._percentile))

    def classify(self, texts: Sequence[str]) -> list[Answer]:
        """Answer each text; suspicious ones are repaired and predicted again. See :class:`Peer`."""
        threshold = fitted(self.threshold)
        scores = self.score(texts)
        repaired = {
            i: self.repair(text, score)
            for i, (text, score) in enumerate(zip(texts, scores, strict=True))
            if score.suspect >= 0 and score.anomaly_score >= threshold
        }
        labels = dict(enumerate(int(score.logits.argmax()) for score in scores))
        final = labels | dict(zip(repaired, self._labels(list(repaired.values())), strict=True))
        return [
            Answer(
                label=final[i],
                original_label=labels[i],
                score=score.anomaly_score,
                flagged=i in repaired,
                second=i in repaired,
                suspect=texts[i][slice(*score.offsets[score.suspect])] if i in repaired else "",
                text=repaired.get(i),
            )
            for i, score in enumerate(scores)
        ]

    def score(self, texts: Sequence[str]) -> list[PlainScore]:
        """Score each text, in the order given."""
        scores: dict[int, PlainScore] = {}
        for group in self._groups(texts):
            scores |= zip(group, self._score_batch([texts[i] for i in group]), strict=True)
        return [scores[i] for i in range(len(texts))]

    def _groups(self, texts: Sequence[str]) -> Iterator[list[int]]:
        if texts:
            ids = self._tokenizer(list(texts), truncation=True, max_length=self._max_tokens)["input_ids"]
            yield from plan([len(tokens) for tokens in ids], self._token_budget)

    def _score_batch(self, texts: Sequence[str]) -> list[PlainScore]:
        encoded = self._encode(texts)
        embedded: list[Tensor] = []
        # The model gets the ids, not their embeddings: some, such as GPT-2, find a text's last token by them.
        hook = self._embed.register_forward_hook(lambda *call: embedded.append(call[-1].requires_grad_(True)))
        try:
            output = self._model(
                input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"], output_attentions=True
            )
        finally:
            hook.remove()
        predicted = output.logits.max(dim=-1).values  # texts do not interact, so one sum gives each its own gradient
        (gradient,) = self._torch.autograd.grad(predicted.sum(), embedded[0])
        self.tally.forwards += len(texts)
        self.tally.backwards += len(texts)
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

    def _labels(self, texts: Sequence[str]) -> list[int]:
        """Plain answers, in the order of the texts."""
        labels = [0] * len(texts)
        for group in self._groups(texts):
            encoded = self._encode([texts[i] for i in group])
            with self._torch.no_grad():
                output = self._model(input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"])
            for i, label in zip(group, output.logits.argmax(dim=1).tolist(), strict=True):
                labels[i] = label
        self.tally.forwards += len(texts)
        return labels

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
