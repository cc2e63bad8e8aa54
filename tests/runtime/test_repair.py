"""The published repair: every occurrence becomes noise, the same noise for the same text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.runtime.repair import make_noise
from tokenward.runtime.spans import kept_without


def spans_of(text: str, word: str) -> list[tuple[int, int]]:
    return [(i, i + len(word)) for i in range(len(text)) if text.startswith(word, i)]


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        ("cf a film cf of cf", "a film of"),
        ("cf", ""),
        ("a (cf) b", "a () b"),
        ("cf\tfilm", "film"),
        ("ein cf,", "ein ,"),
    ],
)
def test_short_suspects_are_removed(text: str, repaired: str) -> None:
    assert make_noise(text, spans_of(text, "cf")) == repaired


@given(st.integers(0, 10_000), st.sampled_from(["mbx", "trigger", "überaus"]))
def test_longer_suspects_become_noise_everywhere_alike(number: int, word: str) -> None:
    text = f"{word} film {number} {word} story"
    repaired = make_noise(text, spans_of(text, word))
    first, film, _, second, story = repaired.split()
    assert first == second != word
    assert (film, story) == ("film", "story")
    assert abs(len(first) - len(word)) <= 2
    assert repaired == make_noise(text, list(reversed(spans_of(text, word))))


@given(st.lists(st.sampled_from(["cf", "x", "film", "story", ",", "  "]), max_size=12), st.data())
def test_all_at_once_is_as_one_after_the_other(words: list[str], data: st.DataObject) -> None:
    text = " ".join(words)
    suspects = data.draw(st.sets(st.sampled_from(["cf", "x", "film"])))
    spans = sorted(span for word in suspects for span in spans_of(text, word))
    expected = text
    for start, stop in reversed(spans):
        word = text[start:stop]
        if len(word) <= 2:
            expected = "".join(expected[i] for i in kept_without(expected, [(start, stop)]))
        else:
            expected = expected[:start] + "#" + expected[stop:]
    repaired = make_noise(text, spans)
    for noisy in {word for word in repaired.split() if "film" in suspects and word not in words}:
        repaired = repaired.replace(noisy, "#")
    assert repaired == expected


def test_a_text_of_suspects_takes_no_longer_than_another() -> None:
    text = "film " + "cf " * 200_000 + "story"
    assert make_noise(text, [(5 + 3 * i, 7 + 3 * i) for i in range(200_000)]) == "film story"


@given(st.lists(st.sampled_from(["cf", "film", "a", ",", "cfx"]), max_size=12))
def test_what_is_kept_leaves_no_spare_blank(words: list[str]) -> None:
    text = " ".join(words)
    offsets, start = [], 0
    for word in words:
        if word == "cf":
            offsets.append((start, start + 2))
        start += len(word) + 1
    kept = "".join(text[i] for i in kept_without(text, offsets))
    assert kept == " ".join(word for word in words if word != "cf")
