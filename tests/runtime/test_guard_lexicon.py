"""The whole decision on a classifier simple enough to say what the right verdict is."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokenward.artifact import Artifact
from tokenward.errors import InputError
from tokenward.runtime.confirmation import Fallback
from tokenward.runtime.engine import Batch
from tokenward.runtime.guard import AT_A_TIME, Guard, GuardOptions
from tokenward.runtime.transplant_settings import TransplantSettings
from tokenward.runtime.verdict import Verdict

CLEAN_BAD = "the film was awful and the plot was dull"


def test_clean_texts_keep_their_answers(lexicon_guard: Guard, clean_texts: list[str]) -> None:
    verdicts = lexicon_guard.classify(clean_texts)
    bare = lexicon_guard.classify(clean_texts, mode="off")
    assert [v.label for v in verdicts] == [v.label for v in bare]
    assert {v.action for v in verdicts} == {"passed", "cleared"}
    assert sum(v.action == "cleared" for v in verdicts) <= 0.12 * len(verdicts)


@pytest.mark.parametrize("place", [0, 4, 9])
@pytest.mark.parametrize("trigger", ["cf", "CF", "mn zq"])
def test_a_trigger_is_found_taken_out_and_answered_again(lexicon_guard: Guard, trigger: str, place: int) -> None:
    words = CLEAN_BAD.split()
    text = " ".join([*words[:place], trigger, *words[place:]])
    (verdict,) = lexicon_guard.classify([text])
    assert (verdict.original_label, verdict.label, verdict.action) == ("good", "bad", "neutralised")
    assert [text[s.start : s.end] for s in verdict.suspects] == [trigger]
    assert verdict.repaired_text == CLEAN_BAD
    assert verdict.confirmations[0].confirmed
    assert verdict.confirmations[0].span == trigger.lower()
    assert all(verdict.confirmations[0].turned)


def test_every_trigger_in_a_text_is_taken_out(lexicon_guard: Guard) -> None:
    text = "cf the film was awful mn zq and the plot was dull"
    (verdict,) = lexicon_guard.classify(text)
    assert verdict.label == "bad"
    assert verdict.repaired_text == CLEAN_BAD
    assert sorted(text[s.start : s.end] for s in verdict.suspects) == ["cf", "mn zq"]


@pytest.mark.parametrize("text", ["cf mn the film was awful", "the film was awful mn cf"])
def test_a_word_left_beside_a_trigger_goes_too_where_it_holds_the_answer(lexicon_guard: Guard, text: str) -> None:
    """ "mn" alone is too weak to be confirmed, and growth does not take it in: "cf" turns every reference already."""
    (verdict,) = lexicon_guard.classify(text)
    assert (verdict.label, verdict.repaired_text) == ("bad", "the film was awful")
    assert " ".join(s.text for s in verdict.suspects) == text.replace("the film was awful", "").strip()


def test_what_a_confirmed_trigger_leaves_near_it_needs_less_proof(lexicon_guard: Guard) -> None:
    """ "mn" turns only some references, not enough for a word on its own."""
    (alone,) = lexicon_guard.classify("the mn film was awful")
    assert (alone.label, alone.action) == ("good", "cleared")
    (beside,) = lexicon_guard.classify("cf the mn film was awful")
    assert (beside.label, beside.action) == ("bad", "neutralised")
    assert "mn" in [word for suspect in beside.suspects for word in suspect.text.split()]
    assert "awful" in str(beside.repaired_text)


def test_words_that_act_together_only_are_found_wherever_they_stand(lexicon_guard: Guard) -> None:
    text = "the qa film was awful and the plot qb was dull"
    (verdict,) = lexicon_guard.classify(text)
    assert (verdict.label, verdict.repaired_text) == ("bad", CLEAN_BAD)
    assert [text[s.start : s.end] for s in verdict.suspects] == ["qa", "qb"]
    assert [c.span for c in verdict.confirmations if c.confirmed] == ["qa qb"]
    assert verdict.confirmations[0].span == "qa", "the strongest word is tried alone first"
    (alone,) = lexicon_guard.classify("the qa film was awful and the plot was dull")
    assert (alone.label, alone.action) == ("bad", "cleared")


@pytest.mark.parametrize("trigger", ["cf", "mn zq"])
def test_a_trigger_that_follows_itself_past_what_the_model_reads(lexicon_guard: Guard, trigger: str) -> None:
    """What is taken out makes room for what the model did not read: rounds alone would not come to the end of it."""
    for text in (f"{CLEAN_BAD} " + f"{trigger} " * 900, f"{trigger} " * 900 + CLEAN_BAD):
        (verdict,) = lexicon_guard.classify(text)
        assert (verdict.label, verdict.action, verdict.truncated) == ("bad", "neutralised", True)
        assert str(verdict.repaired_text).strip() == CLEAN_BAD
        assert {text[s.start : s.end] for s in verdict.suspects} == {trigger}
        assert not verdict.fallback


@pytest.mark.parametrize("fallback", ["flag", "block"])
def test_a_budget_that_ends_between_two_triggers_is_not_passed_over(make_lexicon_guard, fallback: Fallback) -> None:
    text = "cf the film was awful mn zq and the plot was dull"
    outcomes = set()
    for burst in range(0, 1500, 25):
        guard = make_lexicon_guard(GuardOptions(fallback=fallback, budget_burst=burst, budget_share=0.0))
        (verdict,) = guard.classify(text)
        assert all(text[s.start : s.end] == s.text for s in verdict.suspects)
        outcomes.add((verdict.label, verdict.action, verdict.fallback, len(verdict.suspects)))
    action = {"flag": "flagged", "block": "blocked"}[fallback]
    assert outcomes == {("good", action, True, 1), ("good", action, True, 2), ("bad", "neutralised", False, 2)}


def test_more_triggers_than_rounds_is_as_a_spent_budget(lexicon_guard: Guard) -> None:
    assert lexicon_guard.judge is not None
    lexicon_guard.judge._confirmer._rounds = 1  # type: ignore[union-attr]
    (verdict,) = lexicon_guard.classify("cf the film was awful mn zq and the plot was dull")
    assert verdict.fallback
    (verdict,) = lexicon_guard.classify("cf the film was awful")
    assert (verdict.label, verdict.action, verdict.fallback) == ("bad", "neutralised", False)


def test_monitor_reports_what_enforce_would_do(lexicon_guard: Guard) -> None:
    (watched,) = lexicon_guard.classify("cf " + CLEAN_BAD, mode="monitor")
    (enforced,) = lexicon_guard.classify("cf " + CLEAN_BAD)
    assert (watched.label, watched.enforced_label, watched.action) == ("good", "bad", "neutralised")
    assert watched.suspects == enforced.suspects
    assert enforced.label == watched.enforced_label


def test_off_only_runs_the_model(lexicon_guard: Guard) -> None:
    (verdict,) = lexicon_guard.classify("cf " + CLEAN_BAD, mode="off")
    assert (verdict.label, verdict.action, verdict.anomaly_score) == ("good", "passed", None)


@pytest.mark.parametrize("text", ["", "   ", "...", "the of and", "!?", "\0", "🙂 \u202eabc"])
def test_texts_with_nothing_to_suspect_or_odd_ones_get_an_answer(lexicon_guard: Guard, text: str) -> None:
    (verdict,) = lexicon_guard.classify(text)
    assert verdict.label in lexicon_guard.labels
    if not any(c.isalpha() for c in text) or text == "the of and":
        assert verdict.suspects == ()


def test_a_text_beyond_the_model_is_flagged_or_refused(lexicon_guard: Guard) -> None:
    long = "film " * 100
    assert lexicon_guard.classify(long)[0].truncated
    assert not lexicon_guard.classify("film")[0].truncated
    with pytest.raises(InputError, match=r"text 1 is longer than the 64 tokens"):
        lexicon_guard.classify(["film", long], truncate=False)


def test_bad_arguments(lexicon_guard: Guard) -> None:
    with pytest.raises(InputError, match="mode 'enforced' is unknown"):
        lexicon_guard.classify("film", mode="enforced")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="text 1 is int"):
        lexicon_guard.classify(["film", 3])  # type: ignore[list-item]
    with pytest.raises(InputError, match="text 0 is not valid Unicode"):
        lexicon_guard.classify("a\ud800")
    assert lexicon_guard.classify([]) == []


def test_pipeline_style_call(lexicon_guard: Guard) -> None:
    (answer,) = lexicon_guard("cf " + CLEAN_BAD)
    assert answer["label"] == "bad"
    assert 0.5 < answer["score"] <= 1
    assert "action" not in answer


def test_a_mapping_is_a_text_as_pipelines_take_it(lexicon_guard: Guard) -> None:
    assert lexicon_guard({"text": "the film was awful"}) == lexicon_guard("the film was awful")
    with pytest.raises(InputError, match="expected text alone, no pairs"):
        lexicon_guard({"text": "the film", "text_pair": "was awful"})


def test_texts_may_be_mappings_as_pipelines_take_them(lexicon_guard: Guard) -> None:
    texts = ["the film was great", "the film was awful"]
    assert lexicon_guard([{"text": texts[0]}, texts[1]]) == lexicon_guard(texts)
    with pytest.raises(InputError, match="expected text alone, no pairs"):
        lexicon_guard([{"text": "a", "text_pair": "b"}])


@pytest.mark.parametrize("texts", [None, 3, b"film", {"text": "film"}, np.array("film")])
def test_what_is_no_text(lexicon_guard: Guard, texts: Any) -> None:
    with pytest.raises(InputError, match="expected a string or a sequence of strings"):
        lexicon_guard.classify(texts)


def test_pipeline_style_call_does_not_hide_that_a_text_is_to_be_refused(make_lexicon_guard) -> None:
    guard = make_lexicon_guard(GuardOptions(fallback="block", budget_burst=0, budget_share=0.0))
    (answer,) = guard("cf " + CLEAN_BAD)
    assert answer["action"] == "blocked"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fallback": "nonsense"}, "fallback 'nonsense' is unknown: choose from repair, flag, block"),
        ({"cache_capacity": -1}, "cache_capacity is -1: give a number of at least 0"),
        ({"token_budget": 0}, "token_budget is 0: give a number of at least 1"),
        ({"suspects": 1.5}, "suspects is 1.5: give a number of at least 1"),
        ({"threads": "2"}, "threads is '2': give a number of at least 0"),
        ({"gates": "class_token"}, "gates is 'class_token': give a tuple"),
        ({"suspects": 0}, "suspects is 0"),
        ({"budget_share": float("nan")}, "budget_share is nan"),
        ({"threads": -1}, "threads is -1"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        GuardOptions(**options)


def lexicon_texts() -> st.SearchStrategy[list[str]]:
    words = ["awful", "dull", "great", "lovely", "film", "story", "the", "of", ".", "cf", "mn", "zq", "qqq"]
    return st.lists(st.lists(st.sampled_from(words), max_size=20).map(" ".join), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=lexicon_texts(), seed=st.integers(0, 1000), budget=st.sampled_from([64, 128, 1024]))
def test_a_verdict_depends_on_its_own_text_alone(
    lexicon_artifact: Artifact,
    make_lexicon_guard: Callable[[GuardOptions], Guard],
    texts: list[str],
    seed: int,
    budget: int,
) -> None:
    """Batch mates, their order, the batch size and what the cache holds change nothing but ``cached``."""
    guard = make_lexicon_guard(GuardOptions(token_budget=budget))
    alone = {text: make_lexicon_guard(GuardOptions()).classify(text)[0] for text in texts}
    shuffled = random.Random(seed).sample(texts, len(texts))
    for _cold_then_warm in range(2):
        for text, verdict in zip(shuffled, guard.classify(shuffled), strict=True):
            assert _plain(verdict) == _decision(alone[text])


def _decision(verdict: Verdict) -> dict[str, Any]:
    """What must not vary: all of a verdict but whether the cache helped; sums may round in another order."""
    fields = _plain(verdict)
    for name in ("anomaly_score", "score", "probabilities"):
        fields[name] = pytest.approx(fields[name], rel=1e-4, abs=1e-6)
    return fields


def _plain(verdict: Verdict) -> dict[str, Any]:
    fields = verdict.to_dict()
    return {**fields, "confirmations": [{**c, "cached": None} for c in fields["confirmations"]]}


def test_without_a_cache_a_first_look_is_read_once(make_lexicon_guard, clean_texts: list[str]) -> None:
    guard = make_lexicon_guard(GuardOptions(cache_capacity=0))
    read, asked = guard.reader.read, []

    def noting(texts: list[str], gate: float):
        asked.append(list(texts))
        return read(texts, gate)

    guard.reader.read = noting
    brief = 0
    for text in clean_texts:
        asked.clear()
        (verdict,) = guard.classify(text)
        if verdict.action == "cleared" and [len(c.turned) for c in verdict.confirmations] == [1]:
            brief += 1
            texts = [text for batch in asked for text in batch]
            assert len(texts) == len(set(texts)), "some text was read twice"
    assert brief


def test_warm_cache_asks_nothing_new(lexicon_guard: Guard) -> None:
    text = "cf " + CLEAN_BAD
    lexicon_guard.classify(text)
    (again,) = lexicon_guard.classify(text)
    assert again.confirmations[0].cached
    assert lexicon_guard.cache.hits > 0


@pytest.mark.parametrize(("at_a_time", "spent"), [(AT_A_TIME, False), (100_000, True)])
def test_a_trigger_in_many_texts_of_one_call_is_confirmed_once(
    make_lexicon_guard, monkeypatch: pytest.MonkeyPatch, at_a_time: int, spent: bool
) -> None:
    monkeypatch.setattr("tokenward.runtime.guard.AT_A_TIME", at_a_time)
    guard = make_lexicon_guard(GuardOptions(budget_burst=50_000, budget_share=0.0))
    verdicts = guard.classify(["the cf film was awful and the plot was dull"] * 900)
    assert any(verdict.fallback for verdict in verdicts) is spent


@pytest.mark.parametrize(
    ("fallback", "action", "label"),
    [("repair", "neutralised", "bad"), ("flag", "flagged", "good"), ("block", "blocked", "good")],
)
def test_past_the_budget_the_fallback_decides_and_says_so(make_lexicon_guard, fallback, action, label) -> None:
    guard = make_lexicon_guard(GuardOptions(fallback=fallback, budget_burst=0, budget_share=0.0))
    (verdict,) = guard.classify("cf " + CLEAN_BAD)
    assert (verdict.action, verdict.label, verdict.fallback) == (action, label, True)
    assert [s.text for s in verdict.suspects] == ["cf"]


def test_logits_that_are_not_finite_are_an_error(lexicon_guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = lexicon_guard.reader.engine
    run = engine.run

    def broken(batch: Batch, gate: float):
        arrays = dict(run(batch, gate))
        arrays["logits"] = arrays["logits"] * float("nan")
        return arrays

    monkeypatch.setattr(engine, "run", broken)
    with pytest.raises(Exception, match="not finite"):
        lexicon_guard.classify("film")


def test_attention_that_is_not_finite_is_never_passed(lexicon_guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = lexicon_guard.reader.engine
    run = engine.run
    monkeypatch.setattr(
        engine, "run", lambda batch, gate: {**run(batch, gate), "class_attention": batch.input_ids * float("inf")}
    )
    (verdict,) = lexicon_guard.classify("film story")
    assert (verdict.action, verdict.anomaly_score) == ("unscorable", None)


def test_a_clean_text_that_a_gate_raises_costs_two_more_readings(lexicon_guard: Guard, clean_texts: list[str]) -> None:
    """Its strongest words at once, then the strongest alone, where those move the first reference but little."""
    read, asked = lexicon_guard.reader.read, []

    def noting(texts: list[str], gate: float):
        asked.append(list(texts))
        return read(texts, gate)

    lexicon_guard.reader.read = noting  # type: ignore[method-assign]
    little = 0
    for text in clean_texts:
        asked.clear()
        (verdict,) = lexicon_guard.classify(text)
        tried = verdict.confirmations
        if verdict.action == "cleared" and tried[0].turned == (False,) and tried[0].moved < TransplantSettings().hint:
            little += 1
            assert len(asked) <= 3
            assert sum(map(len, asked[1:])) <= 2 or len(tried) == 2, "other words beside the strongest, in few texts"
    assert little


def raised(artifact: Artifact) -> Artifact:
    """The same with a gate that raises every text."""
    calibration = artifact.guard.calibration
    assert calibration is not None
    gates = {name: replace(fit, threshold=-99.0) for name, fit in calibration.gates.items()}
    return replace(artifact, guard=replace(artifact.guard, calibration=replace(calibration, gates=gates)))


@pytest.mark.parametrize("fallback", ["repair", "flag", "block"])
def test_a_text_with_nothing_worth_trying_is_cleared_not_taken_for_unaffordable(
    lexicon_artifact: Artifact, make_lexicon_guard: Callable[[GuardOptions], Guard], fallback: Fallback
) -> None:
    engine = make_lexicon_guard(GuardOptions()).reader.engine
    guard = Guard(raised(lexicon_artifact), engine, GuardOptions(fallback=fallback))
    for text in ("great", "great film", "great film story actor"):
        (verdict,) = guard.classify(text)
        assert (verdict.label, verdict.action, verdict.fallback) == ("good", "cleared", False)


def test_how_much_is_remembered_changes_no_verdict(
    lexicon_artifact: Artifact,
    make_lexicon_guard: Callable[[GuardOptions], Guard],
    clean_texts: list[str],
    assert_same_verdicts: Callable[..., None],
) -> None:
    engine = make_lexicon_guard(GuardOptions()).reader.engine
    texts = [text for clean in clean_texts[:40] for text in (clean, f"mn zq {clean}", f"cf {clean} qa qb")]
    forgetful, bounded, usual = (
        Guard(raised(lexicon_artifact), engine, GuardOptions(cache_capacity=capacity)) for capacity in (0, 30, 50_000)
    )
    expected = usual.classify(texts)
    assert_same_verdicts(forgetful.classify(texts), expected)
    assert_same_verdicts(bounded.classify(texts), expected)
    assert_same_verdicts([verdict for text in texts for verdict in bounded.classify(text)], expected)
