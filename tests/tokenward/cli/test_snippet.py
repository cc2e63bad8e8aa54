"""Snippets: short enough, cut between words, and never without the first suspect."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.cli.snippet import snippet
from tokenward.runtime.verdict import Suspect, Verdict


def verdict(*suspects: Suspect) -> Verdict:
    return Verdict("a", {"a": 1.0}, "cleared", "a", "a", 0.0, 1.0, suspects)


def test_a_short_text_is_whole_and_its_suspect_marked() -> None:
    shown = snippet("one cf two", verdict(Suspect("cf", 4, 6)), 40)
    assert shown.plain == "one cf two"
    assert [(span.start, span.end, str(span.style)) for span in shown.spans] == [(4, 6, "bold underline")]


@pytest.mark.parametrize("words_before", [0, 5, 19, 60])
def test_a_long_text_shows_its_suspect(words_before: int) -> None:
    before = "word " * words_before
    text = f"{before}cf{' word' * 60}"
    shown = snippet(text, verdict(Suspect("cf", len(before), len(before) + 2)), 60)
    assert "cf" in shown.plain
    assert set(shown.plain.split()) <= {"word", "cf", "…"}
    assert shown.plain.startswith("…") == (words_before > 9)
    assert shown.plain.endswith("…")
    assert len(shown.plain) <= 64


@given(st.text(max_size=200), st.data())
def test_any_text(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    width = data.draw(st.integers(20, 100))
    snippet(text, verdict(Suspect(text[start:end], start, end)), width)
    assert snippet("x" * 300, verdict(), width).plain == "x" * (width // 2) + " …"
