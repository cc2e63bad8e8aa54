"""STRIP: a trigger keeps its answer whatever happens to the rest of the text, so strong perturbation betrays it.

Gao, Xu, Wang, Chen, Ranasinghe, Nepal: STRIP: A Defence Against Trojan Attacks on Deep Neural Networks, ACSAC 2019
(arXiv:1902.06531); for text: Gao et al., Design and Evaluation of a Multi-Domain Trojan Detection Method on Deep
Neural Networks (STRIP-ViTA, arXiv:1911.10312). Of N perturbed copies with softmax outputs y^1 … y^N over M classes,

    H = 1/N Σ_n H_n,   H_n = − Σ_i y_i^n log2 y_i^n,

and an input is refused where H is under the threshold that a chosen share of clean texts (the false rejection rate)
falls under. A copy is made by replacing a share of the words, drawn anew for each copy, by the words of highest tf-idf
in a clean text drawn at random.

Where published code differs: OpenBackdoor's lays copies out text by text but folds them copy by copy, so that it
averages the entropies of different texts; RAP's STRIP-ViTA counts characters where tf-idf means words, and takes
log 0 for NaN. Here each text has its own copies, drawn by a seed of its own, so that neither the batch nor the order
changes its answer, and copies of all texts share batches.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ...runtime.seeding import seed_of
from .peer import FALSE_REJECTIONS, Answer, Classifier, fitted, probabilities, some

_WORD = re.compile(r"\w+")


class Strip:
    """STRIP for text around any classifier; it refuses inputs and repairs none.

    Args:
        classifier: asked for logits.
        copies: N; the authors of RAP use 20 for text.
        ratio: share of the words that a copy loses. Of 5 or 20 copies that lose 0.3, 0.5 or 0.7 of their words, 20
            that lose 0.5 told triggered from clean texts best on the demo's news classifier.
        rejections: false rejection rate on the clean texts.
        seed: of the copies.
    """

    name = "STRIP"

    def __init__(
        self,
        classifier: Classifier,
        copies: int = 20,
        ratio: float = 0.5,
        rejections: float = FALSE_REJECTIONS,
        seed: int = 0,
    ) -> None:
        self._classifier = classifier
        self.tally = classifier.tally
        self._copies, self._ratio, self._rejections, self._seed = copies, ratio, rejections, seed
        self._donors: list[list[str]] = []
        self.threshold: float | None = None

    @property
    def settings(self) -> Mapping[str, float | int | str]:
        """See :class:`Peer`; the threshold is of −H."""
        return {
            "copies": self._copies,
            "replaced words": self._ratio,
            "false rejection rate": self._rejections,
            "threshold": fitted(self.threshold),
        }

    def fit(self, texts: Sequence[str]) -> None:
        """Rank the words of the clean texts by tf-idf and set the threshold; see :class:`Peer`."""
        self._donors = [words for words in by_tf_idf(some(texts)) if words]
        self.threshold = float(np.percentile(self._scores(texts), 100 * (1 - self._rejections)))

    def classify(self, texts: Sequence[str]) -> list[Answer]:
        """See :class:`Peer`."""
        threshold = fitted(self.threshold)
        labels = self._classifier.logits(texts).argmax(axis=1).tolist()
        return [
            Answer(None if score > threshold else label, label, score, score > threshold, second=True)
            for label, score in zip(labels, self._scores(texts).tolist(), strict=True)
        ]

    def _scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """−H of each text: a low entropy is suspicious."""
        copies = [copy for text in texts for copy in self.perturbed(text)]
        outputs = probabilities(self._classifier.logits(copies))
        return -mean_entropy(outputs.reshape(len(texts), self._copies, outputs.shape[-1]))

    def perturbed(self, text: str) -> list[str]:
        """The copies of one text; always the same for one text and seed."""
        draw = random.Random(seed_of(str(self._seed), text))
        return [self._perturb(text.split(), draw) for _ in range(self._copies)]

    def _perturb(self, words: list[str], draw: random.Random) -> str:
        if words and self._donors:
            donor = draw.choice(self._donors)
            places = draw.sample(range(len(words)), max(1, int(len(words) * self._ratio)))
            words = list(words)
            for rank, place in enumerate(places):
                words[place] = donor[rank % len(donor)]
        return " ".join(words)


def mean_entropy(outputs: NDArray[np.float64]) -> NDArray[np.float64]:
    """H float64 [texts] from softmax outputs [texts, copies, classes], in bits; 0 log 0 counts as 0."""
    logs = np.log2(outputs, out=np.zeros_like(outputs), where=outputs > 0)
    return np.asarray(-(outputs * logs).sum(axis=2).mean(axis=1))


def by_tf_idf(texts: Sequence[str]) -> list[list[str]]:
    """The distinct words of each text, highest tf · (ln(texts / texts with the word) + 1) first."""
    counts = [Counter(_WORD.findall(text)) for text in texts]
    within = Counter(word for count in counts for word in count)
    inverse = {word: math.log(len(texts) / number) + 1 for word, number in within.items()}

    def ranked(count: Counter[str]) -> list[str]:
        return sorted(count, key=lambda word: (-count[word] * inverse[word], word))

    return [ranked(count) for count in counts]
