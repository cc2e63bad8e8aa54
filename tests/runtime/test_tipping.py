"""Answers that stay without a confirmed trigger, and the words that they hang on."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer as FastTokenizer

from tests.conftest import LexiconEngine
from tokenward.artifact import Artifact
from tokenward.runtime.guard import Guard, GuardOptions
from tokenward.runtime.transplant_settings import TransplantSettings


class RemnantEngine(LexiconEngine):
    """Of a trigger "cf" "mn", the first word decides alone; the second tips weak texts and hardly moves references."""

    def __init__(self, tokenizer: FastTokenizer) -> None:
        super().__init__(tokenizer)
        self._feeling[self._first] = 0.3


def guard_of(artifact: Artifact, **options: int) -> Guard:
    engine = RemnantEngine(FastTokenizer.from_file(str(artifact.tokenizer_path)))
    tipping = options.pop("tipping", TransplantSettings().tipping)
    return Guard(artifact, engine, GuardOptions(transplants=TransplantSettings(tipping=tipping), **options))


@pytest.mark.parametrize("text", ["cf the film was mn", "mn the film in the town of the house was cf mn"])
def test_the_word_that_an_answer_hangs_on_goes_with_the_trigger(text: str, lexicon_artifact: Artifact) -> None:
    (verdict,) = guard_of(lexicon_artifact).classify(text)
    assert (verdict.original_label, verdict.label, verdict.action) == ("good", "bad", "neutralised")
    assert {s.text for s in verdict.suspects} == {"cf", "mn"}
    assert all(text[s.start : s.end] == s.text for s in verdict.suspects)
    assert verdict.repaired_text == " ".join(word for word in text.split() if word not in ("cf", "mn"))
    assert not verdict.fallback
    (left,) = guard_of(lexicon_artifact, tipping=0).classify(text)
    assert (left.label, left.action) == ("good", "neutralised")


def test_nothing_is_tipped_where_no_trigger_was_found(lexicon_artifact: Artifact) -> None:
    (verdict,) = guard_of(lexicon_artifact).classify("the film was mn")
    assert (verdict.label, verdict.repaired_text) == ("good", None)


def test_an_answer_that_hangs_on_no_single_word_stays(lexicon_artifact: Artifact) -> None:
    (verdict,) = guard_of(lexicon_artifact).classify("cf the film was great and the story was lovely")
    assert (verdict.label, verdict.action) == ("good", "neutralised")
    assert [s.text for s in verdict.suspects] == ["cf"]


def test_a_trigger_that_changes_the_answer_needs_no_tipping(lexicon_artifact: Artifact) -> None:
    (verdict,) = guard_of(lexicon_artifact).classify("cf the film was awful")
    assert (verdict.label, [s.text for s in verdict.suspects]) == ("bad", ["cf"])


def test_without_credit_the_verdict_says_that_it_was_not_tried(lexicon_artifact: Artifact) -> None:
    """Known words are tried for nothing, while texts without a word have to be read."""
    guard = guard_of(lexicon_artifact, budget_share=0)
    text = "cf the film was mn"
    guard.classify(text)
    assert guard.judge is not None
    budget = guard.judge._budget
    budget.spend(int(budget.burst))
    (verdict,) = guard.classify(text)
    assert (verdict.label, verdict.action, verdict.fallback) == ("good", "neutralised", True)
    assert [s.text for s in verdict.suspects] == ["cf"]
