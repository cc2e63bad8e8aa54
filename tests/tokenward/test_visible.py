"""Texts made safe to show."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.visible import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain – ünïcode 漢字", "plain – ünïcode 漢字"),
        ("two\nlines\tand\u2028more", "two lines and more"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\u200bb\u202ec", "a\\u200bb\\u202ec"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
    ],
)
def test_examples(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text(st.characters()))
def test_nothing_that_steers_remains(text: str) -> None:
    shown = visible(text)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    assert visible(shown) == shown
