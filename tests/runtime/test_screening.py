"""Screening against a trigger that draws no more attention than an ordinary word, so that no gate sees it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as FastTokenizer

from tests.conftest import LexiconEngine
from tokenward.artifact import Artifact
from tokenward.runtime.guard import Guard, GuardOptions
from tokenward.runtime.screening import MIDDLING, SURE, clean_margins, margin

TRIGGERED = "cf the film was awful and the plot was dull and the music was lifeless"
# Its ends, which are asked of any text where they are strong, are weak.
INSIDE = "a cf film was awful and the plot was dull and the music was lifeless in town"


class QuietEngine(LexiconEngine):
    """The lexicon classifier; its class token looks at "cf" as at any word of feeling."""

    def __init__(self, tokenizer: FastTokenizer) -> None:
        super().__init__(tokenizer)
        self._strength[self._trigger] = 0.6


@pytest.fixture
def make_guard(lexicon_artifact: Artifact, clean_texts: list[str]):
    def make(
        options: GuardOptions | None = None,
        sure: tuple[float, ...] | None = None,
        **learnt: Any,
    ) -> Guard:
        engine = QuietEngine(FastTokenizer.from_file(str(lexicon_artifact.tokenizer_path)))
        calibration = lexicon_artifact.guard.calibration
        if sure is None:
            readings = Guard(lexicon_artifact, engine, GuardOptions()).reader.read(clean_texts, np.inf)
            sure = clean_margins(readings, 2, SURE)
        guard_file = replace(lexicon_artifact.guard, calibration=replace(calibration, sure=sure, **learnt))
        return Guard(replace(lexicon_artifact, guard=guard_file), engine, options or GuardOptions())

    return make


@pytest.mark.parametrize("percentile", [SURE, MIDDLING])
def test_margins_are_those_of_each_class(make_guard, clean_texts, percentile):
    readings = make_guard().reader.read(clean_texts, np.inf)
    margins = clean_margins(readings, 3, percentile)
    for label in (0, 1):
        own = np.array([margin(reading) for reading in readings if reading.predicted == label])
        assert np.mean(own < margins[label]) <= percentile / 100 <= np.mean(own <= margins[label])
    assert margins[2] == 0.0, "no clean text has this answer: all that do are screened"
    assert margin(readings[0]) == pytest.approx(abs(readings[0].logits[0] - readings[0].logits[1]))


def test_a_trigger_that_draws_no_attention_is_found(make_guard):
    (missed,) = make_guard(GuardOptions(screening=False)).classify(TRIGGERED)
    assert (missed.label, missed.action) == ("good", "passed"), "no gate raises it"
    (verdict,) = make_guard().classify(TRIGGERED)
    assert (verdict.label, verdict.action, verdict.original_label) == ("bad", "neutralised", "good")
    assert [(s.text, s.start, s.end) for s in verdict.suspects] == [("cf", 0, 2)]


def test_nothing_is_tried_where_all_words_that_are_left_are_vouched_for(make_guard):
    (verdict,) = make_guard(vouched={"bad": tuple(TRIGGERED.split()[1:])}).classify(TRIGGERED)
    assert (verdict.label, [s.text for s in verdict.suspects]) == ("bad", ["cf"])
    assert all(tried.span for tried in verdict.confirmations), "nothing was put into a reference"


def test_artifacts_calibrated_without_margins_are_not_screened(make_guard):
    assert make_guard(sure=()).classify(TRIGGERED)[0].action == "passed"


def test_clean_texts_keep_their_answers(make_guard, clean_texts):
    guard = make_guard()
    plain = guard.classify(clean_texts, "off")
    verdicts = guard.classify(clean_texts)
    assert [v.label for v in verdicts] == [v.label for v in plain]
    assert not any(v.suspects for v in verdicts)


def test_of_a_text_that_the_model_is_not_sure_of_nothing_is_tried(make_guard):
    guard = make_guard(sure=(1e9, 1e9))
    assert guard.classify(INSIDE)[0].action == "passed"
    assert guard.reader.engine.calls == 1


@pytest.mark.parametrize(("stands_out", "action"), [(True, "neutralised"), (False, "passed")])
def test_of_a_text_that_the_model_is_rather_sure_of_words_are_tried_if_it_stands_out(make_guard, stands_out, action):
    guard = make_guard(sure=(1e9, 1e9), middling=(1.0, 1.0))
    over = guard.judge.weigh(guard.reader.read([INSIDE], np.inf)[0])[2]
    assert over < 0, "the gate does not raise it"
    guard.judge._screen._ordinary = over - 0.01 if stands_out else over + 0.01
    assert guard.classify(INSIDE)[0].action == action


def test_past_the_budget_a_text_passes_unscreened_and_says_so(make_guard):
    (verdict,) = make_guard(GuardOptions(budget_share=0.0, budget_burst=0)).classify(TRIGGERED)
    assert (verdict.action, verdict.fallback, verdict.label) == ("passed", True, "good")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(12)), budget=st.sampled_from([16, 64, 1024]))
def test_neither_order_nor_batches_nor_a_warm_cache_change_a_verdict(
    make_guard, clean_texts, assert_same_verdicts, order, budget
):
    texts = [*clean_texts[:9], TRIGGERED, "cf great lovely film", "cf"]
    expected = make_guard().classify(texts)
    guard = make_guard(GuardOptions(token_budget=budget))
    for _ in range(2):  # cold, then warm
        assert_same_verdicts(guard.classify([texts[i] for i in order]), [expected[i] for i in order])
