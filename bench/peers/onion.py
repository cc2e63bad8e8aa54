"""ONION: a trigger word makes a sentence less fluent, so the words whose removal helps most are taken out.

Qi, Chen, Li, Yao, Liu, Sun: ONION: A Simple and Effective Defense Against Textual Backdoor Attacks, EMNLP 2021
(arXiv:2011.10369), equation 1. The suspicion score of word i is

    f_i = p_0 − p_i,

with the perplexity p_0 of the sentence and p_i of the sentence without word i. Words with f_i > t are removed, and
the rest is classified. The threshold t is the lowest that costs no more than 2 % of the clean answers. (The paper
counts accuracy on labelled texts; here answers that change, for which no labels are needed.)

Where published code differs: the authors' drops the last word of a text that does not end with a blank; OpenBackdoor's
counts padding into the perplexity, so that a score depends on the batch, and does not set a threshold. Here all
sentences of all texts share length-sorted batches (:mod:`language_model`), and the first word is predicted, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .peer import Answer, Classifier, fitted, some

_LEVELS = np.linspace(0, 100, 101)  # percentiles of the clean suspicion scores that are tried as thresholds


class Perplexity(Protocol):
    """A causal language model."""

    name: str

    def perplexities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Perplexity of each text, float64 [texts]."""


class Onion:
    """ONION around any classifier.

    Args:
        classifier: asked for logits; its tally counts the sentences that the language model reads, too.
        model: the causal language model; the better it is, the better ONION is.
        lost: share of the clean answers that may change.
    """

    name = "ONION"

    def __init__(self, classifier: Classifier, model: Perplexity, lost: float = 0.02) -> None:
        self._classifier = classifier
        self._model = model
        self._lost = lost
        self.tally = classifier.tally
        self.threshold: float | None = None

    @property
    def settings(self) -> Mapping[str, float | int | str]:
        """See :class:`Peer`; the threshold is of f."""
        return {
            "language model": self._model.name,
            "clean answers that may change": self._lost,
            "threshold": fitted(self.threshold),
        }

    def fit(self, texts: Sequence[str]) -> None:
        """Go down from a threshold that removes nothing while few enough clean answers change; see :class:`Peer`."""
        texts = some(texts)
        scores = self.suspicions(texts)
        answers = self._classifier.logits(texts).argmax(axis=1)
        levels = np.percentile(np.concatenate(scores), _LEVELS) if any(map(len, scores)) else np.zeros(1)
        self.threshold = float(levels[-1])
        for level in levels[::-1]:
            rests = [without(text, score > level) for text, score in zip(texts, scores, strict=True)]
            if np.mean(self._classifier.logits(rests).argmax(axis=1) != answers) > self._lost:
                break
            self.threshold = float(level)

    def classify(self, texts: Sequence[str]) -> list[Answer]:
        """See :class:`Peer`."""
        threshold = fitted(self.threshold)
        scores = self.suspicions(texts)
        removed = [score > threshold for score in scores]
        rests = {i: without(texts[i], gone) for i, gone in enumerate(removed) if gone.any()}
        before = self._answers(dict(enumerate(texts)))
        after = before | self._answers(rests)
        return [
            Answer(
                label=after[i],
                original_label=before[i],
                score=float(scores[i].max()) if len(scores[i]) else 0.0,
                flagged=i in rests,
                second=i in rests,
                suspect=without(text, ~removed[i]) if i in rests else "",
                text=rests.get(i),
            )
            for i, text in enumerate(texts)
        ]

    def _answers(self, texts: Mapping[int, str]) -> dict[int, int]:
        """Class numbers by the texts' own numbers."""
        if not texts:
            return {}
        labels: list[int] = self._classifier.logits(list(texts.values())).argmax(axis=1).tolist()
        return dict(zip(texts, labels, strict=True))

    def suspicions(self, texts: Sequence[str]) -> list[NDArray[np.float64]]:
        """f of every word of each text; none for a text of one word, of which nothing would be left."""
        sentences = [variant for text in texts for variant in _variants(text)]
        read = iter(self._model.perplexities(sentences).tolist())
        self.tally.language_model += len(sentences)
        perplexities = [np.array([next(read) for _ in _variants(text)]) for text in texts]
        return [p[0] - p[1:] for p in perplexities]


def without(text: str, removed: NDArray[np.bool_]) -> str:
    """The words of a text that are not removed; a text whose words have no scores stays as it is."""
    words = text.split()
    return " ".join(word for word, gone in zip(words, removed, strict=True) if not gone) if len(removed) else text


def _variants(text: str) -> list[str]:
    """The sentence, then the sentence without each of its words."""
    words = text.split()
    places = range(len(words)) if len(words) > 1 else ()
    return [" ".join(words), *(" ".join(words[:place] + words[place + 1 :]) for place in places)]
