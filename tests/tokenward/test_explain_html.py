"""The HTML page: well-formed, self-contained, and inert whatever the text, the labels or the references hold."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.explain_html import render_html
from tokenward.runtime.verdict import Confirmation, Suspect, TokenScore, Verdict

VOID = {"meta"}
ALLOWED = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "span", "div", "meter"}
ALLOWED |= {"table", "tr", "th", "td"}


class Checker(HTMLParser):
    """Fails on unbalanced or unexpected elements and collects the visible text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED
        assert not [name for name, _ in attrs if name.startswith("on") or name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "title"):
            self.text.append(data)


def check(page: str) -> str:
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    return "".join(checker.text)


def hostile(text: str) -> Verdict:
    end = len(text)
    return Verdict(
        label=text,
        probabilities={text: 0.75, "other": 0.25},
        action="neutralised",
        original_label="other",
        enforced_label=text,
        anomaly_score=1.5,
        threshold=1.0,
        suspects=(Suspect(text, 0, end),),
        repaired_text=text,
        truncated=True,
        confirmations=(Confirmation(text, (True, False), (text, "plain"), 0.1, 1.2, True, True),),
        tokens=(TokenScore(text, 0, end, 0.5, None, None, None),),
    )


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "</style><script>alert(1)</script>",
        "</title></head><body onload=alert(1)>",
        "<!--",
        "' style='x",
        "&lt;b&gt;",
        "]]>",
        "\x00\x1b[31m\u202e",
    ],
)
def test_hostile_strings_stay_text(text: str) -> None:
    page = render_html(text, hostile(text), "class_attention")
    shown = check(page)
    assert "<script" not in page
    assert text[:1].isprintable() is False or text in shown


@given(st.text(max_size=40))
def test_any_text_gives_a_well_formed_page(text: str) -> None:
    check(render_html(text, hostile(text), "class_attention"))


def test_the_page_loads_nothing() -> None:
    page = render_html("a", hostile("a"), "class_attention")
    assert "default-src 'none'" in page
    assert "http://" not in page
    assert "https://" not in page
    assert "url(" not in page


def test_the_page_tells_the_story() -> None:
    shown = check(render_html("a cf b", hostile("a cf b"), "class_attention"))
    for part in ("75.0%", "Neutralised", "first answer other", "score 1.5, threshold 1", "only the beginning"):
        assert part in shown
    for part in (
        "Answered instead",
        "confirmed as a trigger, known from an earlier text",
        "turned",
        "stayed",
        "0.5000",
    ):
        assert part in shown
