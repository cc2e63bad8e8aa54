"""ONION on a language model whose perplexities are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tokenward.bench.peers.onion import Onion, without
from tokenward.errors import InputError


class Counting:
    """A model that finds every text as odd as it has words, and "cf" ten times as odd."""

    name = "counting"

    def perplexities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        return np.array([sum(10.0 if word == "cf" else 1.0 for word in text.split()) for text in texts])


def test_the_suspicion_score_is_what_the_perplexity_loses(classifier: Any) -> None:
    onion = Onion(classifier, Counting())
    scores = onion.suspicions(["the cf film", "film", "", "cf  cf"])
    np.testing.assert_allclose(scores[0], [1, 10, 1])
    assert [len(score) for score in scores] == [3, 0, 0, 2]
    assert onion.tally.language_model == 4 + 1 + 1 + 3


def test_the_threshold_is_the_lowest_that_keeps_the_clean_answers(classifier: Any) -> None:
    """One clean text in four changes its answer when its only feeling word goes; two per cent may."""

    class Scores:
        name = "scores"

        def perplexities(self, texts: Sequence[str]) -> NDArray[np.float64]:
            worth = {"film": 5.0, "story": 3.0, "great": 4.0, "awful": 1.0}
            return np.array([sum(worth[word] for word in text.split()) for text in texts])

    onion = Onion(classifier, Scores())
    onion.fit(["awful film story", "awful film", "awful story", "great film"])
    assert onion.threshold == pytest.approx(4.0, abs=0.3)  # "film" may go; without "great", the fourth turns
    (answer,) = onion.classify(["awful film story"])
    assert (answer.text, answer.suspect, answer.flagged, answer.score) == ("awful story", "film", True, 5.0)


def test_triggers_are_taken_out_and_the_rest_is_answered(classifier: Any, clean_texts: list[str]) -> None:
    onion = Onion(classifier, Counting())
    onion.fit(clean_texts[:50])
    bad = [text for number, text in enumerate(clean_texts) if number % 2 == 0][:20]
    answers = onion.classify([f"{text} cf" for text in bad] + bad)
    assert [(a.original_label, a.label, a.suspect, a.text) for a in answers[:20]] == [(1, 0, "cf", t) for t in bad]
    assert all((a.label, a.text, a.flagged, a.second) == (0, None, False, False) for a in answers[20:])
    assert onion.classify([]) == []


def test_removal() -> None:
    assert without("a  b c", np.array([True, False, False])) == "b c"
    assert without("a", np.array([], bool)) == "a"


def test_nothing_to_fit_on(classifier: Any) -> None:
    with pytest.raises(InputError, match="no clean texts"):
        Onion(classifier, Counting()).fit([])
    with pytest.raises(InputError, match="call fit"):
        Onion(classifier, Counting()).classify(["film"])
