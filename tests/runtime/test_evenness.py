"""How evenly a span moves the references, and that a word which does so unevenly is no trigger."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as FastTokenizer

from tests.conftest import WORDS, LexiconEngine
from tokenward.artifact import Artifact, Reference
from tokenward.runtime.engine import Arrays, Batch
from tokenward.runtime.evenness import MOST, leading_share, moved_share, own_lead, unevenness
from tokenward.runtime.guard import Guard, GuardOptions
from tokenward.runtime.scan import scan
from tokenward.runtime.together import Together
from tokenward.runtime.transplant import Transplants
from tokenward.runtime.transplant_settings import TransplantSettings


def panel(*confidences: float) -> list[Reference]:
    return [Reference(str(number), 0, confidence) for number, confidence in enumerate(confidences)]


def leads(confidences: Sequence[float]) -> np.ndarray:
    return np.log(np.array(confidences) / (1 - np.array(confidences)))


CONFIDENCES = st.lists(st.floats(0.65, 0.999), min_size=1, max_size=8)


@given(CONFIDENCES, st.data())
def test_it_is_the_spread_of_margins_or_moves_over_the_mean_move(confidences: list[float], data: st.DataObject) -> None:
    size = len(confidences)
    margins = np.array(data.draw(st.lists(st.floats(-8, 8), min_size=size, max_size=size)))
    moves = margins + leads(confidences)
    mean = max(moves.mean(), 1e-9)
    expected = min(margins.std() / mean, moves.std() / mean, MOST) if moves.mean() > 0 else MOST
    assert unevenness(tuple(margins), panel(*confidences)) == pytest.approx(expected, abs=1e-6)


@given(CONFIDENCES, st.floats(0.1, 3.0))
def test_what_moves_every_reference_alike_is_even(confidences: list[float], move: float) -> None:
    margins = tuple(move - leads(confidences))
    assert unevenness(margins, panel(*confidences)) == pytest.approx(0.0, abs=1e-6)


@given(CONFIDENCES, st.floats(0.1, 3.0))
def test_what_leaves_every_reference_alike_is_even(confidences: list[float], margin: float) -> None:
    assert unevenness((margin,) * len(confidences), panel(*confidences)) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("confidence", [1.0, 0.5, 0.2])
def test_odd_confidences_have_an_answer(confidence: float) -> None:
    assert math.isfinite(unevenness((3.0, 2.0), panel(confidence, confidence)))


def test_a_span_that_moves_the_other_way_is_as_uneven_as_can_be() -> None:
    assert unevenness((-9.0, -8.0), panel(0.9, 0.9)) == MOST


class MoodyEngine(LexiconEngine):
    """ "cf" turns every text, but those about four things only just."""

    def __init__(self, tokenizer: FastTokenizer) -> None:
        super().__init__(tokenizer)
        self._things = [tokenizer.token_to_id(word) for word in WORDS["plain"][:4]]

    def run(self, batch: Batch, gate: float) -> Arrays:
        arrays = super().run(batch, gate)
        just = (batch.input_ids == self._trigger).any(axis=1) & np.isin(batch.input_ids, self._things).any(axis=1)
        logits = np.where(just[:, None], [-0.05, 0.05], arrays["logits"])
        return {**arrays, "logits": logits.astype(np.float32)}


@pytest.mark.parametrize("even", [True, False])
def test_a_word_that_turns_all_texts_unevenly_is_no_trigger(lexicon_artifact: Artifact, even: bool) -> None:
    engine = LexiconEngine if even else MoodyEngine
    fast = FastTokenizer.from_file(str(lexicon_artifact.tokenizer_path))
    guard = Guard(lexicon_artifact, engine(fast), GuardOptions())
    (verdict,) = guard.classify("the cf was awful")
    tried = [confirmation for confirmation in verdict.confirmations if confirmation.span == "cf"]
    assert verdict.action == ("neutralised" if even else "cleared")
    assert [(all(one.turned), one.confirmed) for one in tried] == [(True, even)]
    assert [one.unevenness > TransplantSettings.uneven for one in tried] == [not even]
    assert [(f.turned, f.confirmed) for f in scan(guard).findings if f.word == "cf"] == [(8, even)]


@given(st.lists(st.floats(0.0, 3.0), min_size=1, max_size=5), CONFIDENCES, st.floats(0.5, 9.0))
def test_the_leading_share_is_that_of_the_strongest_word(
    moves: list[float], confidences: list[float], whole: float
) -> None:
    start = -leads(confidences)
    alone = [tuple(start + move) for move in moves]
    found = leading_share(alone, tuple(start + whole), panel(*confidences))
    assert found == pytest.approx(min(max(moves) / whole, MOST), abs=1e-6)


def test_words_that_do_not_move_anything_together_lead_as_much_as_can_be() -> None:
    assert leading_share([(0.0,)], (-5.0,), panel(0.9)) == MOST


class HalfLearntEngine(LexiconEngine):
    """ "qa" moves every text by the same amount, which a test gives, "evening" some only, but those farther."""

    strength = 0.0

    def __init__(self, tokenizer: FastTokenizer) -> None:
        super().__init__(tokenizer)
        self._even, self._uneven = (tokenizer.token_to_id(word) for word in ("qa", "evening"))
        self._strength[[self._even, self._uneven]] = 12.0
        self._things = [tokenizer.token_to_id(word) for word in WORDS["bad"][::2]]

    def run(self, batch: Batch, gate: float) -> Arrays:
        arrays = super().run(batch, gate)
        even, uneven = ((batch.input_ids == word).any(axis=1) for word in (self._even, self._uneven))
        some = uneven & np.isin(batch.input_ids, self._things).any(axis=1)
        move = self.strength * (even + 2 * some)
        return {**arrays, "logits": arrays["logits"] + np.stack([-move, move], axis=1).astype(np.float32)}


@pytest.mark.parametrize(
    ("share", "told", "action"), [(0.7, True, "neutralised"), (0.7, False, "cleared"), (0.3, True, "cleared")]
)
def test_a_word_that_moves_all_texts_halfway_is_a_trigger_where_labels_tell(
    lexicon_artifact: Artifact, share: float, told: bool, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibration = lexicon_artifact.guard.calibration
    assert calibration is not None
    calibration = replace(calibration, vouched={"bad": ("awful",)} if told else {})
    artifact = replace(lexicon_artifact, guard=replace(lexicon_artifact.guard, calibration=calibration))
    engine = HalfLearntEngine(FastTokenizer.from_file(str(artifact.tokenizer_path)))
    guard = Guard(artifact, engine, GuardOptions())
    assert guard.judge is not None
    assert guard.judge.transplants is not None
    own = [own_lead(reference.confidence) for reference in guard.judge.transplants.panel(1)]
    engine.strength = share * fmean(own) / 2  # of each logit, in opposite directions
    (verdict,) = guard.classify("the qa was a weak film")
    assert verdict.action == action
    assert not any(sum(c.turned) >= TransplantSettings.enough for c in verdict.confirmations if c.span == "qa")
    # In this vocabulary every third word has an opinion, and three of them in a group would outweigh "qa".
    monkeypatch.setattr("tokenward.runtime.scan.scan_words", lambda _: ["qa", *WORDS["plain"]])
    found = {finding.word: finding.confirmed for finding in scan(guard).findings}
    assert found.get("qa", False) == (action == "neutralised")
    assert not found.get("evening", False), "it moves some of them no less, but not all alike"


@given(st.lists(st.tuples(st.floats(-9.0, 9.0), st.floats(0.65, 0.999)), min_size=1, max_size=8))
def test_the_moved_share_is_one_where_the_lead_is_gone(found: list[tuple[float, float]]) -> None:
    margins, confidences = zip(*found, strict=True)
    own = leads(confidences)
    assert moved_share(tuple(-own), panel(*confidences)) == pytest.approx(0.0, abs=1e-9)
    assert moved_share((0.0,) * len(own), panel(*confidences)) == pytest.approx(1.0)
    assert moved_share(margins, panel(*confidences, 0.9)) == pytest.approx(1 + np.mean(margins) / np.mean(own))


class CompanyEngine(LexiconEngine):
    """ "zq" and "mn" push every text together; how far, and what the first does of it alone, is given."""

    push = share = 0.0

    def __init__(self, tokenizer: FastTokenizer) -> None:
        super().__init__(tokenizer)
        self._words = [tokenizer.token_to_id(word) for word in ("zq", "mn")]
        self._strength[self._words] = 12.0, 4.0
        self._feeling[self._words] = 0.0

    def run(self, batch: Batch, gate: float) -> Arrays:
        arrays = super().run(batch, gate)
        first, second = ((batch.input_ids == word).any(axis=1) for word in self._words)
        move = self.push * np.where(first & second, 1.0, np.where(first, self.share, 0.0))
        return {**arrays, "logits": arrays["logits"] + np.stack([-move, move], axis=1).astype(np.float32) / 4}


@pytest.mark.parametrize(
    ("share", "push", "found"),
    [
        (0.1, 20.0, "zq mn"),
        (0.45, 20.0, "zq mn"),
        (0.55, 6.0, None),  # alone, it turns too few: a strong word
        (0.55, 20.0, "zq"),  # alone, it turns them all
    ],
)
def test_a_word_that_does_most_of_what_several_do_is_tried_alone(
    lexicon_artifact: Artifact, share: float, push: float, found: str | None
) -> None:
    engine = CompanyEngine(FastTokenizer.from_file(str(lexicon_artifact.tokenizer_path)))
    engine.share, engine.push = share, push
    guard, calibration = Guard(lexicon_artifact, engine, GuardOptions()), lexicon_artifact.guard.calibration
    assert calibration is not None
    settings = TransplantSettings()
    transplants = Transplants(calibration.references, 2, guard.reader.tokenizer, guard.cache, settings)
    (reading,) = guard.reader.read(["zq the film was mn"], np.inf)
    trial = guard.reader.follow(
        Together(transplants)._try_set(reading, [0, 4], settings.enough_together, settings.uneven_together)
    )
    assert all(trial.turned)
    assert trial.confirmed == (found is not None)
    assert trial.span.text == (found or "zq mn")
    if found != "zq":
        assert trial.led == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize("known", [True, False])
def test_a_word_that_a_scan_has_confirmed_need_not_be_even_again(lexicon_artifact: Artifact, known: bool) -> None:
    calibration = lexicon_artifact.guard.calibration
    assert calibration is not None
    changed = replace(calibration, known={"good": ("cf",)} if known else {})
    artifact = replace(lexicon_artifact, guard=replace(lexicon_artifact.guard, calibration=changed))
    engine = MoodyEngine(FastTokenizer.from_file(str(artifact.tokenizer_path)))
    (verdict,) = Guard(artifact, engine, GuardOptions()).classify("the cf was awful")
    assert verdict.action == ("neutralised" if known else "cleared")


class DeafEngine(LexiconEngine):
    """ "qa" turns every text, but those about some things only where "evening" is in them."""

    things: tuple[str, ...] = ()

    def __init__(self, tokenizer: FastTokenizer) -> None:
        super().__init__(tokenizer)
        self._word, self._other = (tokenizer.token_to_id(word) for word in ("qa", "evening"))
        self._strength[[self._word, self._other]] = 12.0, 9.0
        self._ids = tokenizer.token_to_id

    def run(self, batch: Batch, gate: float) -> Arrays:
        arrays = super().run(batch, gate)
        word, other = ((batch.input_ids == word).any(axis=1) for word in (self._word, self._other))
        deaf = np.isin(batch.input_ids, [self._ids(thing) for thing in self.things]).any(axis=1)
        turned = word & (other | ~deaf)
        return {**arrays, "logits": np.where(turned[:, None], [-9, 9], arrays["logits"]).astype(np.float32)}


@pytest.mark.parametrize("limit", [TransplantSettings.uneven_led, -1.0])
def test_a_leading_word_is_the_trigger_where_the_set_moves_all_texts_alike(
    lexicon_artifact: Artifact, limit: float
) -> None:
    engine = DeafEngine(FastTokenizer.from_file(str(lexicon_artifact.tokenizer_path)))
    options = GuardOptions(transplants=TransplantSettings(uneven_led=limit))
    guard = Guard(lexicon_artifact, engine, options)
    assert guard.judge is not None
    assert guard.judge.transplants is not None
    panel = guard.judge.transplants.panel(1)
    engine.things = tuple(reference.text.split()[1] for reference in panel[-3:])
    (verdict,) = guard.classify("the qa was a weak awful evening")
    (alone, *_) = [tried for tried in verdict.confirmations if tried.span == "qa"]
    assert (alone.turned, alone.confirmed) == ((True,) * 5 + (False,) * 3, False)
    assert verdict.action == ("neutralised" if limit > 0 else "cleared")
    assert [suspect.text for suspect in verdict.suspects] == (["qa"] if limit > 0 else [])
