"""Gates: which texts deserve a second look, and at which words. A gate only ranks; confirmation decides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..artifact import GateFit, Histogram
from ..errors import InputError
from .reading import Reading

MINIMUM_TEXTS = 100
HISTOGRAM_BINS = 40
CORE = 4  # words of a run


@dataclass(frozen=True, slots=True)
class Score:
    """A gate's opinion of one reading.

    Attributes:
        value: the score; 0 where nothing can be suspected; None where it was proved to be under the threshold
            without computing it; NaN where the model gave nothing finite.
        words: indices of words, most suspicious first.
    """

    value: float | None
    words: tuple[int, ...]


class Gate(Protocol):
    """Scores readings; the fit that turns scores into suspicion is stored in the artifact."""

    length_calibrated: bool
    needs: str  # the graph output it reads

    def score(self, reading: Reading) -> Score:
        """Score one reading."""


class AnomalyGate:
    """The published score, computed in the graph: attention received × saliency (X-GRAAD)."""

    length_calibrated = False
    needs = "anomaly_score"

    def score(self, reading: Reading) -> Score:
        """Score of the graph; the word that holds its suspect token first, the others by their strongest tokens."""
        if reading.suspect < 0:
            return Score(reading.anomaly_score, ())
        words = reading.encoding.words
        strongest = {int(words[reading.suspect]): math.inf}
        for word, value in zip(words.tolist(), reading.tokens["token_scores"].tolist(), strict=True):
            if word >= 0 and value > 0:
                strongest[word] = max(value, strongest.get(word, 0.0))
        return Score(reading.anomaly_score, tuple(sorted(strongest, key=lambda word: (-strongest[word], word))))


class ClassTokenGate:
    """What the class token looks at: the attention that the strongest word draws, or the two strongest.

    a_w = Σ a_j over the pieces j of every occurrence of word w, with a_j the attention that the class token pays to j
    in the layer where that stands out most (see :mod:`.layers`). Occurrences are summed because a trigger that is
    repeated shares the attention among its copies. Function words and punctuation count like any other word: a trigger
    may be made of them, and confirmation clears them at no risk.
    A word's share falls with the length of the text, hence length calibration (see :func:`fit`).

    Args:
        strongest: how many words the score adds up. Where the last layer alone is read, 2: triggers share what it has.
    """

    length_calibrated = True
    needs = "class_attention"

    def __init__(self, strongest: int = 2) -> None:
        self.strongest = strongest

    def score(self, reading: Reading) -> Score:
        """Score one reading; 0 where it has no word."""
        encoding = reading.encoding
        pieces: dict[int, tuple[int, ...]] = {}
        shares: dict[int, float] = {}
        attention = reading.tokens["class_attention"]
        for word, piece, share in zip(encoding.words.tolist(), encoding.ids.tolist(), attention.tolist(), strict=True):
            if word >= 0:
                pieces[word] = (*pieces.get(word, ()), piece)
                shares[word] = shares.get(word, 0.0) + share
        first: dict[tuple[int, ...], int] = {}
        drawn: dict[int, float] = {}
        for word, name in pieces.items():
            place = first.setdefault(name, word)
            drawn[place] = drawn.get(place, 0.0) + shares[word]
        ranked = sorted(drawn, key=lambda word: (-drawn[word], word))
        value = sum(drawn[word] for word in ranked[: self.strongest])
        return Score(value, tuple(ranked))


def densest(reading: Reading, count: int) -> range:
    """The run of ``CORE`` words that the class token looks at most, and those around it, ``count`` in all.

    A trained phrase, made of function words perhaps, shares the attention among its words: none of them need stand
    out, but the run does. Some of them draw none at all and yet are needed, hence the words around it; no more than
    half of a text in all, which may outweigh others by what it says. Empty where a text has no more words than the run.
    """
    words, total = reading.encoding.words, reading.encoding.word_count
    core = min(count, CORE)
    count = min(count, max(total // 2, core))
    if total <= count:
        return range(0)
    real = words >= 0
    drawn = np.bincount(words[real], reading.tokens["class_attention"][real], minlength=total)
    sums = np.convolve(drawn, np.ones(core), "valid").round(6)  # or equal runs would rank by rounding errors
    first = min(max(int(sums.argmax()) - (count - core) // 2, 0), total - count)
    return range(first, first + count)


def excess(score: Score, length: int, fit: GateFit) -> float:
    """How far the calibrated score of a text of ``length`` tokens is above the threshold; suspicious from 0 on.

    The calibrated score is log score − slope·log n − intercept where the gate is length-calibrated, else the score.
    −∞ where nothing can be suspected; +∞ where the score is not finite.
    """
    if score.value is not None and not math.isfinite(score.value):
        return math.inf
    if score.value is None or not score.words:
        return -math.inf
    return calibrated_score(score.value, length, fit) - fit.threshold


def calibrated_score(value: float, length: int, fit: GateFit) -> float:
    """A score as its threshold and histogram measure it."""
    if not fit.length_calibrated:
        return value
    return math.log(max(value, 1e-12)) - fit.slope * math.log(length) - fit.intercept


def raising_score(length: int, fit: GateFit) -> float:
    """The score from which on a text of ``length`` tokens is suspicious: calibrated, it is the threshold."""
    if not fit.length_calibrated:
        return fit.threshold
    return math.exp(fit.threshold + fit.slope * math.log(length) + fit.intercept)


def fit(gate: Gate, readings: Sequence[Reading], percentile: float) -> GateFit:
    """Fit a gate on clean readings: the length term by least squares, then the threshold at ``percentile``.

    Raises:
        InputError: fewer than ``MINIMUM_TEXTS`` texts, or nothing in them that can be scored.
    """
    require_enough(len(readings))
    pairs = [(gate.score(reading), len(reading.encoding)) for reading in readings]
    values = np.array([s.value for s, _ in pairs if s.words and s.value is not None], dtype=np.float64)
    lengths = np.array([n for s, n in pairs if s.words and s.value is not None], dtype=np.float64)
    if not len(values):
        raise InputError("no clean text has a word that can be scored: calibrate with ordinary texts")
    if not np.isfinite(values).all():
        raise InputError("the model gives clean texts scores that are not finite: its weights are damaged or overflow")
    slope = intercept = 0.0
    if gate.length_calibrated:
        slope, intercept = _line(np.log(lengths), np.log(np.maximum(values, 1e-12)))
        values = np.log(np.maximum(values, 1e-12)) - slope * np.log(lengths) - intercept
    counts, edges = np.histogram(values, bins=HISTOGRAM_BINS)
    histogram = Histogram(tuple(map(float, edges)), tuple(map(int, counts)))
    return GateFit(
        percentile, float(np.percentile(values, percentile)), gate.length_calibrated, slope, intercept, histogram
    )


def require_enough(texts: int) -> None:
    """Raise :class:`InputError` if these are too few clean texts to calibrate with."""
    if texts < MINIMUM_TEXTS:
        raise InputError(f"{texts} clean texts are too few to calibrate: give at least {MINIMUM_TEXTS}, better 200")


def clean_percentile(fit: GateFit, percent: float) -> float:
    """The calibrated score that ``percent`` of the clean texts stay under, as exactly as the histogram tells."""
    counts = np.cumsum([0, *fit.histogram.counts])
    return float(np.interp(percent / 100 * counts[-1], counts, fit.histogram.edges))


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Least-squares slope and intercept; a level line where all x are equal."""
    centred = x - x.mean()
    spread = float(centred @ centred)
    slope = float(centred @ (y - y.mean())) / spread if spread > 1e-9 else 0.0
    return slope, float(y.mean() - slope * x.mean())


def known_gates(layers: bool) -> dict[str, Gate]:
    """Every gate by name.

    Args:
        layers: whether the class token's attention is read in all layers, or in the last one alone.
    """
    return {"anomaly": AnomalyGate(), "class_token": ClassTokenGate(1 if layers else 2)}
