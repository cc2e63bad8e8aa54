"""Triggers of which a part draws no attention, and conjunctions that are not well learnt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as FastTokenizer

from tests.conftest import LexiconEngine
from tokenward.artifact import Artifact, GateFit, Histogram
from tokenward.runtime.company import Company
from tokenward.runtime.engine import ALWAYS_SKIP, Arrays, Batch
from tokenward.runtime.gates import ClassTokenGate, clean_percentile, excess
from tokenward.runtime.guard import Guard, GuardOptions
from tokenward.runtime.judge import drive
from tokenward.runtime.reading import Reading
from tokenward.runtime.together import Together
from tokenward.runtime.transplant import Transplants
from tokenward.runtime.transplant_settings import TransplantSettings

LOUD, SILENT = "evening", "river"
# More than five words draw more attention than the silent one.
TEXT = f"{LOUD} the film was awful and dull and lifeless in this town with actors near the {SILENT} story"


class ConjunctionEngine(LexiconEngine):
    """Two words decide together; one draws all attention, one none. Either alone does ``alone`` of what both do."""

    def __init__(self, tokenizer: FastTokenizer, push: float = 60.0, alone: float = 0.0) -> None:
        super().__init__(tokenizer)
        self._parts = [tokenizer.token_to_id(word) for word in (LOUD, SILENT)]
        self._strength[self._parts] = 12.0, 0.01
        self._push, self._alone = push, alone

    def run(self, batch: Batch, gate: float) -> Arrays:
        arrays = super().run(batch, gate)
        loud, silent = ((batch.input_ids == part).any(axis=1) for part in self._parts)
        push = self._push * np.select([loud & silent, loud], [1.0, self._alone], 0.0) / 4
        return {**arrays, "logits": (arrays["logits"] + np.stack([-push, push], axis=1)).astype(np.float32)}


def guard_of(artifact: Artifact, **conjunction: float) -> Guard:
    engine = ConjunctionEngine(FastTokenizer.from_file(str(artifact.tokenizer_path)), **conjunction)
    return Guard(artifact, engine, GuardOptions())


def company_of(guard: Guard, **settings: int) -> Company:
    calibration = guard.artifact.guard.calibration
    assert calibration is not None
    chosen = TransplantSettings(**settings)
    transplants = Transplants(calibration.references, 2, guard.reader.tokenizer, guard.cache, chosen)
    return Company(ClassTokenGate(), calibration.gates["class_token"], transplants)


def test_the_word_that_a_trigger_acts_with_is_found_though_it_draws_nothing(lexicon_artifact: Artifact) -> None:
    guard = guard_of(lexicon_artifact)
    (reading,) = guard.reader.read([TEXT], ALWAYS_SKIP)
    ranked = [guard.reader.tokenizer.names.of(TEXT.split()[word]) for word in ClassTokenGate().score(reading).words]
    assert ranked.index(SILENT) >= TransplantSettings().together
    (verdict,) = guard.classify(TEXT)
    assert (verdict.original_label, verdict.label, verdict.action) == ("good", "bad", "neutralised")
    assert [c.span for c in verdict.confirmations if c.confirmed] == [f"{LOUD} {SILENT}"]
    (alone,) = guard.classify(TEXT.replace(SILENT, "music"))
    assert (alone.original_label, alone.action) == ("bad", "cleared")


def test_groups_hold_every_further_word_once_beside_the_strongest(lexicon_artifact: Artifact) -> None:
    guard = guard_of(lexicon_artifact)
    (reading,) = guard.reader.read([TEXT], ALWAYS_SKIP)
    words, together = ClassTokenGate().score(reading).words, TransplantSettings().together
    groups = company_of(guard).groups(reading)
    assert all(group[0] == words[0] and 2 <= len(group) <= 11 for group in groups)
    assert [word for group in groups for word in group[1:]] == list(words[together : together + 20])
    assert company_of(guard, groups=0).groups(reading) == []


@pytest.mark.parametrize("other", ["music", SILENT])
def test_smaller_groups_are_tried_only_where_the_larger_move_the_reference(
    other: str, lexicon_artifact: Artifact
) -> None:
    guard = guard_of(lexicon_artifact)
    (reading,) = guard.reader.read([TEXT.replace(SILENT, other)], ALWAYS_SKIP)
    reading = replace(reading, logits=np.array([-1, 1], np.float32))
    groups, transplants = company_of(guard).groups(reading), guard.judge.transplants
    assert groups
    assert transplants is not None
    asked: list[str] = []

    def read(texts: list[str]) -> list[Reading]:
        asked.extend(texts)
        return guard.reader.read(texts, ALWAYS_SKIP)

    (trial,) = drive([Together(transplants).try_company(reading, groups)], read, 1)
    assert trial.confirmed == (other == SILENT)
    assert (len(asked) > len(groups)) == (other == SILENT)


def test_texts_that_do_not_stand_out_get_none(lexicon_artifact: Artifact, clean_texts: list[str]) -> None:
    guard = guard_of(lexicon_artifact)
    calibration = lexicon_artifact.guard.calibration
    assert calibration is not None
    fit = calibration.gates["class_token"]
    readings = guard.reader.read([text for text in clean_texts if LOUD not in text], ALWAYS_SKIP)
    raised = [r for r in readings if excess(ClassTokenGate().score(r), len(r.encoding), fit) >= 0]
    stark = [r for r in raised if company_of(guard).groups(r)]
    assert len(raised) > 2 * len(stark)


@pytest.mark.parametrize(("alone", "confirmed"), [(0.0, True), (0.2, True), (0.4, False)])
def test_a_weak_conjunction_is_one_whose_words_do_next_to_nothing_alone(
    alone: float, confirmed: bool, lexicon_artifact: Artifact
) -> None:
    """The push turns some references only: fewer than is asked of words that do something alone."""
    guard = guard_of(lexicon_artifact, push=4.0, alone=alone)
    (verdict,) = guard.classify(TEXT)
    assert verdict.original_label == "good"
    found = [c for c in verdict.confirmations if c.confirmed]
    assert bool(found) == confirmed
    if confirmed:
        (pair,) = found
        assert TransplantSettings().conjoint <= sum(pair.turned) < TransplantSettings().enough_together
        assert pair.led is not None
        assert pair.led <= TransplantSettings().led_conjoint


@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=40).filter(any),
    st.floats(0, 100),
)
def test_a_percentile_of_clean_scores_is_read_off_the_histogram(counts: list[int], percent: float) -> None:
    edges = tuple(float(edge) for edge in range(len(counts) + 1))
    fit = GateFit(90.0, 0.0, False, 0.0, 0.0, Histogram(edges, tuple(counts)))
    found = clean_percentile(fit, percent)
    below = sum(count for edge, count in zip(edges[1:], counts, strict=True) if edge <= found)
    above = sum(count for edge, count in zip(edges, counts, strict=False) if edge >= found)
    assert below <= percent / 100 * sum(counts) + 1e-6
    assert above <= (1 - percent / 100) * sum(counts) + 1e-6
