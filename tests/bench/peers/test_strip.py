"""STRIP: the entropy by hand, copies that depend on their text alone, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tokenward.bench.peers.strip import Strip, by_tf_idf, mean_entropy
from tokenward.errors import InputError


def test_entropy_by_hand() -> None:
    """Two texts, two copies: fair coins are one bit each, certainty none, and H is their mean."""
    outputs = np.array([[[0.5, 0.5], [1.0, 0.0]], [[0.25, 0.75], [0.75, 0.25]]])
    quarter = 0.25 * 2 + 0.75 * np.log2(4 / 3)
    np.testing.assert_allclose(mean_entropy(outputs), [0.5, quarter])
    four = np.full((1, 3, 4), 0.25)
    np.testing.assert_allclose(mean_entropy(four), [2.0])


def test_words_of_one_text_only_come_first() -> None:
    ranked = by_tf_idf(["the river, the town", "the the the film", "a"])
    weight = {"the": 2 * (np.log(3 / 2) + 1), "river": np.log(3) + 1, "town": np.log(3) + 1}
    assert ranked[0] == sorted(weight, key=lambda word: (-weight[word], word))
    assert ranked[2] == ["a"]


def test_copies_replace_the_share_asked_for_and_depend_on_the_text_alone(
    classifier: Any, clean_texts: list[str]
) -> None:
    strip = Strip(classifier, copies=7, ratio=0.4)
    strip.fit(clean_texts[:40])
    text = " ".join(f"word{number}" for number in range(10))
    copies = strip.perturbed(text)
    assert len(copies) == 7
    assert len(set(copies)) > 1
    for copy in copies:
        kept = [a == b for a, b in zip(copy.split(), text.split(), strict=True)]
        assert sum(kept) == 6
    assert copies == strip.perturbed(text)
    other = Strip(classifier, copies=7, ratio=0.4, seed=1)
    other.fit(clean_texts[:40])
    assert copies != other.perturbed(text)
    assert strip.perturbed("") == [""] * 7


def test_it_refuses_triggers_and_few_clean_texts(classifier: Any, clean_texts: list[str]) -> None:
    strip = Strip(classifier, copies=10)
    strip.fit(clean_texts[:100])
    assert strip.settings["false rejection rate"] == 0.05
    clean = strip.classify(clean_texts[:100])
    triggered = strip.classify([f"cf cf cf {text} cf cf cf cf" for text in clean_texts[100:140]])
    assert np.mean([a.flagged for a in clean]) <= 0.05
    assert np.mean([a.flagged for a in triggered]) > 0.5
    assert all((a.label is None) == a.flagged for a in (*clean, *triggered))
    assert all(a.original_label == 1 for a in triggered)
    assert strip.classify(clean_texts[3:5]) == clean[3:5]
    assert strip.classify([]) == []


def test_passes_are_counted(classifier: Any, clean_texts: list[str]) -> None:
    strip = Strip(classifier, copies=6)
    strip.fit(clean_texts[:20])
    before = classifier.tally.forwards
    strip.classify(clean_texts[:5])
    assert classifier.tally.forwards - before == 5 * 7


def test_nothing_to_fit_on(classifier: Any) -> None:
    with pytest.raises(InputError, match="no clean texts"):
        Strip(classifier).fit([])
    with pytest.raises(InputError, match="call fit"):
        Strip(classifier).classify(["film"])
