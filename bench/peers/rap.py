"""RAP: a learned word that lowers the answer's probability on clean texts does so less where a trigger holds it up.

Yang, Lin, Li, Zhou, Sun: RAP: Robustness-Aware Perturbations for Defending against Backdoor Attacks on NLP Models,
EMNLP 2021 (arXiv:2110.07831). Only the embedding of a rare word w is trained (:mod:`rap_word`), so that putting w
before a clean text x of the protected class y lowers its probability by c_low to c_up. At inference

    Δ(x) = p_y(x) − p_y(w ⊕ x),

and a text that is answered with y is refused where Δ is under the threshold that a chosen share of the clean texts
(the false rejection rate) falls under.

The paper protects one class, the attacker's target, which it takes for known. A defender does not know it; here every
class has a word of its own and a text is tried with that of its answer, so every text costs two forward passes. Both
run in ONNX Runtime, on one graph with the learned rows in its table: texts go through in length-sorted batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from ...runtime.tokenization import Tokenizer
from ..bare_onnx import BareOnnx
from .peer import FALSE_REJECTIONS, Answer, Classifier, fitted, probabilities, some
from .rap_word import RapSettings, learn_words, with_rows


class Rap:
    """RAP around a checkpoint; it refuses inputs and repairs none.

    Args:
        model_dir: the checkpoint, for learning the words.
        graph: its plain forward pass in ONNX.
        tokenizer: of the guarded artifact.
        threads: of the session; 0 takes ONNX Runtime's default.
        rejections: false rejection rate on the clean texts of each class.
        learning: how the words are learnt.
    """

    name = "RAP"
    threshold = 0.0  # scores are over the threshold of their class

    def __init__(
        self,
        model_dir: Path,
        graph: Path,
        tokenizer: Tokenizer,
        threads: int = 0,
        rejections: float = FALSE_REJECTIONS,
        learning: RapSettings | None = None,
    ) -> None:
        self._model_dir, self._graph, self._tokenizer, self._threads = model_dir, graph, tokenizer, threads
        self._rejections = rejections
        self._learning = learning or RapSettings()
        self._classifier: Classifier = BareOnnx(graph, tokenizer, threads, tuned=True)
        self.tally = self._classifier.tally
        self.words: tuple[str, ...] = ()
        self.thresholds: NDArray[np.float64] | None = None

    @property
    def settings(self) -> Mapping[str, float | int | str]:
        """See :class:`Peer`; thresholds are of −Δ, one per class."""
        learning = self._learning
        return {
            "words": " ".join(self.words),
            "probability drop": f"{learning.low} to {learning.high}",
            "learning": f"{learning.steps} steps of {learning.batch_size} texts at {learning.rate}",
            "false rejection rate": self._rejections,
            "thresholds": " ".join(f"{threshold:.4f}" for threshold in self._fitted()),
        }

    def fit(self, texts: Sequence[str]) -> None:
        """Learn one word per class on the clean texts of that answer and set its threshold; see :class:`Peer`."""
        answers = self._classifier.logits(some(texts)).argmax(axis=1)
        learnt = learn_words(self._model_dir, self._tokenizer, texts, answers, self._learning)
        self.words = tuple(word.text for word in learnt)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "rap.onnx"
            with_rows(self._graph, {word.token: word.embedding for word in learnt}, path)
            self._classifier = BareOnnx(path, self._tokenizer, self._threads, tuned=True)
        self._classifier.tally = self.tally
        labels, scores = self._scores(texts)
        allowed = 100 * (1 - self._rejections)
        self.thresholds = np.array(
            [
                np.percentile(own, allowed) if len(own := scores[labels == label]) else np.inf
                for label in range(len(learnt))
            ]
        )

    def classify(self, texts: Sequence[str]) -> list[Answer]:
        """See :class:`Peer`; the score is −Δ over the threshold of the text's class, so that classes compare."""
        thresholds = self._fitted()
        labels, scores = self._scores(texts)
        over = scores - thresholds[labels]
        return [
            Answer(None if score > 0 else label, label, score, score > 0, second=True)
            for label, score in zip(labels.tolist(), over.tolist(), strict=True)
        ]

    def _scores(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Answers and −Δ of each text."""
        before = probabilities(self._classifier.logits(texts))
        labels = before.argmax(axis=1)
        tried = [f"{self.words[label]} {text}" for label, text in zip(labels.tolist(), texts, strict=True)]
        after = probabilities(self._classifier.logits(tried))
        rows = np.arange(len(texts))
        return labels, after[rows, labels] - before[rows, labels]

    def _fitted(self) -> NDArray[np.float64]:
        fitted(None if self.thresholds is None else 0.0)
        assert self.thresholds is not None
        return self.thresholds
