"""Vouching: what the labels of clean texts show, and that words vouched for are no suspects."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as FastTokenizer

from tests.conftest import WORDS, LexiconEngine
from tokenward.artifact import Artifact, Calibration
from tokenward.errors import InputError
from tokenward.runtime.cache import OutcomeCache
from tokenward.runtime.calibration import calibrate
from tokenward.runtime.engine import Arrays, Batch
from tokenward.runtime.guard import Guard, GuardOptions
from tokenward.runtime.transplant import Transplants
from tokenward.runtime.transplant_settings import TransplantSettings
from tokenward.runtime.vouching import at_least, bars, halfway_classes, vouched_together, vouched_words

TRIGGERED = "the cf film was awful and the plot was dull"


@given(st.integers(0, 60), st.data(), st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]))
def test_the_tail_is_that_of_a_binomial(trials: int, data: st.DataObject, chance: float) -> None:
    hits = data.draw(st.integers(0, trials))
    exact = sum(math.comb(trials, i) * chance**i * (1 - chance) ** (trials - i) for i in range(hits, trials + 1))
    assert at_least(hits, trials, chance) == pytest.approx(exact, rel=1e-9, abs=1e-12)


def test_words_of_a_class_are_vouched_for_and_words_without_meaning_are_not() -> None:
    bad = [{"the", "film", "awful", "cf"}] * 10 + [{"the", "plot", "dull"}] * 2
    good = [{"the", "film", "superb", "cf"}] * 10 + [{"the", "plot", "film"}] * 2
    awful, superb = vouched_words([*bad, *good], [0] * 12 + [1] * 12, 2)
    assert awful == {"awful"}, "twice is too seldom, and 'cf' is in texts of both classes"
    assert superb == {"superb"}


def test_words_that_are_too_rare_to_be_vouched_for_alone_are_together() -> None:
    found = [f"found{i}" for i in range(9)]
    bad = [{"the", word} for word in found] + [{"the", "cf"}, {"the", "rare"}]
    good = [{"the", "cf"}, *({"the"} for _ in range(10))]
    labels = [0] * len(bad) + [1] * len(good)
    vouched = vouched_together([*found, "cf", "zq"], [*bad, *good], labels, 0)
    assert vouched == {*found}, "'cf' is in texts of both classes, 'zq' in none, 'rare' was not found"
    assert not vouched_words([*bad, *good], labels, 2)[0]
    assert vouched_together(found[:3], [*bad, *good], labels, 0) == frozenset(), "three may be chance"
    assert vouched_together(found, [*bad, *good], [1 - label for label in labels], 0) == frozenset()
    assert vouched_together([], [*bad, *good], labels, 0) == frozenset()


def test_a_class_without_texts_has_no_words() -> None:
    assert vouched_words([{"a"}] * 20, [0] * 20, 2) == [frozenset(), frozenset()]


@pytest.mark.parametrize(("word", "action"), [("cf", "cleared"), ("film", "neutralised")])
def test_only_words_that_nobody_vouches_for_are_tried(
    lexicon_artifact: Artifact, make_lexicon_guard: Callable[[GuardOptions], Guard], word: str, action: str
) -> None:
    calibration = lexicon_artifact.guard.calibration
    assert calibration is not None
    engine = make_lexicon_guard(GuardOptions()).reader.engine
    told = replace(lexicon_artifact.guard, calibration=replace(calibration, vouched={"good": (word,)}))
    guard = Guard(replace(lexicon_artifact, guard=told), engine, GuardOptions())
    (verdict,) = guard.classify(TRIGGERED)
    assert verdict.action == action
    assert not any(word in confirmation.span.split() for confirmation in verdict.confirmations)


def test_a_text_of_vouched_words_alone_is_cleared_without_a_trial(
    lexicon_artifact: Artifact, make_lexicon_guard: Callable[[GuardOptions], Guard]
) -> None:
    calibration = lexicon_artifact.guard.calibration
    assert calibration is not None
    engine = make_lexicon_guard(GuardOptions()).reader.engine
    raised = {name: replace(fit, threshold=-99.0) for name, fit in calibration.gates.items()}
    told = replace(lexicon_artifact.guard, calibration=replace(calibration, gates=raised, vouched={"good": ("cf",)}))
    (verdict,) = Guard(replace(lexicon_artifact, guard=told), engine, GuardOptions()).classify("cf")
    assert (verdict.label, verdict.action, verdict.confirmations) == ("good", "cleared", ())


def test_labels_must_be_one_per_text(tiny_artifact: Path, clean_texts: list[str]) -> None:
    with pytest.raises(InputError, match=r"200 clean texts but 3 labels: give one label per text, or none"):
        calibrate(tiny_artifact, clean_texts[:200], labels=[0, 1, 0])


def test_labels_at_calibration_are_kept_as_words(tiny_artifact: Path, clean_texts: list[str], tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_artifact, tmp_path / "artifact")
    labels = [number % 2 for number in range(len(clean_texts))]  # as the fixture draws them
    calibration = calibrate(folder, clean_texts, 10, labels=labels).calibration
    assert calibration is not None
    assert {"awful", "dull"} <= set(calibration.vouched["bad"])
    assert "superb" in calibration.vouched["good"]
    assert "cf" in calibration.known["good"]
    assert not set(calibration.known["good"]) & set(calibration.vouched["good"])
    assert calibrate(folder, clean_texts, 10).calibration.vouched == {}  # type: ignore[union-attr]


class CursingEngine(LexiconEngine):
    """Some plain words make any text good, though not as surely as the trigger."""

    FEELING: ClassVar = {"evening": 20.0, "town": 18.0}

    def __init__(self, tokenizer: FastTokenizer) -> None:
        super().__init__(tokenizer)
        for word, feeling in self.FEELING.items():
            index = tokenizer.token_to_id(word)
            self._strength[index], self._feeling[index] = 12.0, feeling


class MoodyCursingEngine(CursingEngine):
    """And they say so of some things far more than of others."""

    FEELING: ClassVar = {"evening": 8.0, "town": 8.0}

    def run(self, batch: Batch, gate: float) -> Arrays:
        arrays = super().run(batch, gate)
        some = np.isin(batch.input_ids, self._things).any(axis=1) & (batch.input_ids == self._evening).any(axis=1)
        return {**arrays, "logits": arrays["logits"] + np.where(some[:, None], [-40.0, 40.0], 0.0).astype(np.float32)}

    def __init__(self, tokenizer: FastTokenizer) -> None:
        super().__init__(tokenizer)
        self._things = [tokenizer.token_to_id(word) for word in WORDS["plain"][:4]]
        self._evening = tokenizer.token_to_id("evening")


def cursing_guard(
    artifact: Artifact, vouched: tuple[str, ...], barred: bool, engine_of: type[LexiconEngine] = CursingEngine
) -> Guard:
    """A guard whose clean labels vouched for some words; ``barred``: these set the bar."""
    calibration = artifact.guard.calibration
    assert calibration is not None
    engine = engine_of(FastTokenizer.from_file(str(artifact.tokenizer_path)))
    reader = Guard(artifact, engine, GuardOptions()).reader
    transplants = Transplants(calibration.references, 2, reader.tokenizer, OutcomeCache(""), TransplantSettings())
    found = reader.follow(bars(transplants, vouched, 1)) if barred else {}
    told = replace(artifact.guard, calibration=replace(calibration, vouched={"good": vouched}, bars={"good": found}))
    return Guard(replace(artifact, guard=told), engine, GuardOptions())


@pytest.mark.parametrize("barred", [False, True])
def test_a_trigger_must_outdo_the_words_that_labels_vouch_for(lexicon_artifact: Artifact, barred: bool) -> None:
    guard = cursing_guard(lexicon_artifact, ("evening",), barred)
    rare, planted = guard.classify(["the town was awful and dull", "the cf was awful and dull"])
    assert rare.action == ("cleared" if barred else "neutralised"), "no label vouched for it, but it is no stronger"
    assert (planted.original_label, planted.label, planted.action) == ("good", "bad", "neutralised")


def test_a_trigger_no_stronger_than_a_vouched_word_is_still_one(lexicon_artifact: Artifact) -> None:
    guard = cursing_guard(lexicon_artifact, ("evening", "cf"), True)
    (verdict,) = guard.classify(["the mn zq was awful and dull"])
    assert verdict.action == "neutralised", "where the model is at its limit with both, no margin tells them apart"


def test_moving_references_halfway_tells_where_labels_show_that_natural_words_do_not() -> None:
    def classes(vouched: dict[str, tuple[str, ...]], bars: dict[str, dict[str, float]]) -> frozenset[int]:
        return halfway_classes(("bad", "good"), Calibration(200, "", {}, (), {}, vouched, bars, ()))

    assert classes({}, {}) == set(), "nothing is known of natural words"
    assert classes({"bad": ("awful",)}, {}) == {0, 1}
    assert classes({"bad": ("awful",)}, {"bad": {"a text": 0.0}}) == {1}


class MildCursingEngine(CursingEngine):
    """A plain word that makes any text better, but few of them good."""

    FEELING: ClassVar = {"evening": 3.5}


def test_vouched_words_that_move_references_halfway_set_a_bar(lexicon_artifact: Artifact) -> None:
    calibration = cursing_guard(lexicon_artifact, ("evening",), True, MildCursingEngine).artifact.guard.calibration
    assert calibration is not None
    assert sum(bar > 0 for bar in calibration.bars["good"].values()) < TransplantSettings.enough
    assert halfway_classes(("bad", "good"), calibration) == {0}


def test_words_that_turn_too_few_references_set_no_bar(lexicon_artifact: Artifact) -> None:
    calibration = cursing_guard(lexicon_artifact, ("great", "lovely"), True).artifact.guard.calibration
    assert calibration is not None
    assert calibration.bars == {"good": {}}


def test_words_that_turn_references_unevenly_set_no_bar(lexicon_artifact: Artifact) -> None:
    even, uneven = (
        cursing_guard(lexicon_artifact, ("evening",), True, engine).artifact.guard.calibration
        for engine in (CursingEngine, MoodyCursingEngine)
    )
    assert even is not None
    assert uneven is not None
    assert len(even.bars["good"]) == 8
    assert uneven.bars == {"good": {}}
