"""Leeway: where clean texts lose right answers, triggers must be more even, just so much that few are lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from tokenizers import Tokenizer as FastTokenizer

from tests.conftest import WORDS, LexiconEngine
from tokenward.artifact import Artifact
from tokenward.runtime.engine import Arrays, Batch
from tokenward.runtime.guard import Guard, GuardOptions
from tokenward.runtime.leeway import LOST, SIGNIFICANCE, STEPS, find_leeway
from tokenward.runtime.scan import scan
from tokenward.runtime.transplant_settings import TransplantSettings
from tokenward.runtime.vouching import at_least

TRIGGERED = "the cf film was awful and the plot was dull"


class FavouringEngine(LexiconEngine):
    """An ordinary word makes any text good, though some more than others."""

    def __init__(self, tokenizer: FastTokenizer) -> None:
        super().__init__(tokenizer)
        self._word = tokenizer.token_to_id("evening")
        self._things = [tokenizer.token_to_id(word) for word in WORDS["plain"][:4]]
        self._strength[self._word] = 12.0

    def run(self, batch: Batch, gate: float) -> Arrays:
        arrays = super().run(batch, gate)
        favoured = (batch.input_ids == self._word).any(axis=1)
        more = favoured & np.isin(batch.input_ids, self._things).any(axis=1)
        good = (np.where(favoured, 4.0, 0.0) + np.where(more, 2.4, 0.0)).astype(np.float32)
        return {**arrays, "logits": arrays["logits"] + np.stack([-good, good], axis=1)}


@pytest.fixture
def guard_of(lexicon_artifact: Artifact):
    engine = FavouringEngine(FastTokenizer.from_file(str(lexicon_artifact.tokenizer_path)))

    def make(leeway: Mapping[str, float], rows: Sequence[int] = ()) -> Guard:
        calibration = lexicon_artifact.guard.calibration
        assert calibration is not None
        told = replace(lexicon_artifact.guard, calibration=replace(calibration, leeway=dict(leeway)))
        return Guard(replace(lexicon_artifact, guard=told), engine, GuardOptions())

    return make


@pytest.fixture
def favoured() -> list[str]:
    """Texts that are good for their evening alone."""
    return [f"the {thing} was {word} in the evening" for thing in WORDS["plain"][4:8] for word in WORDS["bad"]]


def leeway_of(guard_of, texts: Sequence[str], labels: Sequence[int] | None, **options) -> dict[str, float]:
    guard = guard_of({})
    return find_leeway(guard_of, guard.labels, guard.reader.read(texts, np.inf), labels, **options)


def test_where_right_answers_are_lost_a_trigger_must_be_as_even_as_keeps_them(guard_of, clean_texts, favoured) -> None:
    clean = [text for text in clean_texts if "evening" not in text]
    guard = guard_of({})
    right = [*(reading.predicted for reading in guard.reader.read(clean, np.inf)), *(1 for _ in favoured)]
    before = guard.classify(favoured)
    assert {(verdict.original_label, verdict.label) for verdict in before} == {("good", "bad")}
    (uneven,) = {c.unevenness for verdict in before for c in verdict.confirmations if c.confirmed}
    leeway = leeway_of(guard_of, [*clean, *favoured], right)
    assert leeway == {"good": next(step for step in STEPS if uneven > step * TransplantSettings.uneven)}
    assert 1 > leeway["good"] > STEPS[-1], "neither end would tell"
    after = guard_of(leeway).classify([*favoured, TRIGGERED])
    assert {verdict.label for verdict in after[:-1]} == {"good"}
    assert (after[-1].label, after[-1].action) == ("bad", "neutralised"), "the trigger is more even"


def test_answers_that_are_lost_rightly_change_nothing(guard_of, clean_texts, favoured) -> None:
    texts = [*(text for text in clean_texts if "evening" not in text), *favoured]
    readings = guard_of({}).reader.read(texts, np.inf)
    told = [reading.predicted for reading in readings]
    planted = [*told[: -len(favoured)], *(0 for _ in favoured)]
    assert leeway_of(guard_of, texts, planted) == {}, "these are bad, so that the guard is right"
    assert leeway_of(guard_of, texts, None) == leeway_of(guard_of, texts, told) != {}, "without labels the model is"


def test_so_many_answers_may_be_lost(guard_of, favoured) -> None:
    """Of 240 texts one may, in the long run, and three by chance."""
    many = [f"the {thing} was superb" for thing in WORDS["plain"][:4]] * 60
    assert at_least(4, 244, LOST) < SIGNIFICANCE < at_least(3, 243, LOST)
    assert leeway_of(guard_of, [*many, *favoured[:3]], None) == {}
    assert leeway_of(guard_of, [*many, *favoured[:4]], None).keys() == {"good"}


def test_every_text_is_tried_once_at_first(guard_of, favoured) -> None:
    told: list[tuple[int, int]] = []
    leeway_of(guard_of, favoured, None, progress=lambda count, total: told.append((count, total)))
    assert told == [(1, len(favoured))] * len(favoured)


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_a_scan_asks_for_as_much(guard_of, share) -> None:
    found = {finding.word for finding in scan(guard_of({"good": share})).triggers if finding.label == "good"}
    assert ("cf" in found, "evening" in found) == (True, share == 1.0)


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_words_that_a_scan_has_found_need_not_be_even_again(guard_of, favoured, share) -> None:
    """Which words are, the calibration has decided by the leeway that it found."""
    guard = guard_of({"good": share})
    calibration = replace(guard.artifact.guard.calibration, known={"good": ("evening",)})
    artifact = replace(guard.artifact, guard=replace(guard.artifact.guard, calibration=calibration))
    (verdict,) = Guard(artifact, guard.reader.engine, GuardOptions()).classify([favoured[0]])
    assert (verdict.label, verdict.action) == ("bad", "neutralised")
