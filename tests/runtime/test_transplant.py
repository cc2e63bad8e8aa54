"""Transplants: where a suspect is put, which references it meets, how far it grows."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as FastTokenizer

from tests.conftest import LexiconEngine
from tokenward.artifact import Artifact, Reference
from tokenward.runtime.cache import Margins
from tokenward.runtime.criteria import Trial
from tokenward.runtime.engine import ALWAYS_SKIP, Arrays, Batch
from tokenward.runtime.evenness import own_lead
from tokenward.runtime.gates import CORE, densest
from tokenward.runtime.guard import Guard, GuardOptions
from tokenward.runtime.reading import Reading
from tokenward.runtime.spans import Span
from tokenward.runtime.standing import EARLY, transplant
from tokenward.runtime.transplant import Transplants
from tokenward.runtime.transplant_settings import TransplantSettings

words = st.lists(st.sampled_from(["film", "was", "awful", "the"]), min_size=1, max_size=8).map(" ".join)


@given(reference=words, span=st.sampled_from(["cf", "mn zq"]), label=st.integers(0, 3))
def test_a_transplant_keeps_the_reference_around_the_span(reference: str, span: str, label: int) -> None:
    moved = transplant(reference, span, label)
    assert moved == transplant(reference, span, label)
    place = moved.split().index(span.split()[0])
    rest = moved.split()
    del rest[place : place + len(span.split())]
    assert rest == reference.split()


def test_references_come_in_turn_from_every_other_class() -> None:
    references = [Reference(f"{label} {i}", label, 1 - i / 10) for label in range(4) for i in range(5)]
    transplants = Transplants(references, 4, None, None, TransplantSettings())  # type: ignore[arg-type]
    panel = transplants.panel(2)
    assert sorted(r.label for r in panel) == [0, 0, 0, 1, 1, 1, 3, 3]
    assert min(r.confidence for r in panel) == 0.8, "the most confident of each class"
    assert transplants.can_try(2)
    assert not Transplants(references[:9], 4, None, None, TransplantSettings()).can_try(0)  # type: ignore[arg-type]


def test_references_of_medium_ease_come_first_and_then_the_hardest() -> None:
    references = [Reference(f"{label} {i}", label, 1.0, ease=(i * 5) % 8 - 8) for label in range(2) for i in range(8)]
    transplants = Transplants(references, 2, None, None, TransplantSettings())  # type: ignore[arg-type]
    assert [r.ease for r in transplants.panel(0)] == [-4, -3, -5, -2, -8, -7, -6, -1]


@pytest.mark.parametrize(
    ("turned", "panel"),
    [
        ([0.0, 0.5, 0.2, 0.3, 0.2, 0.0, 0.4, 0.0], [3, 2, 4, 1, 7, 6, 5, 0]),  # few turn that of medium ease
        ([0.0, 0.5, 0.4, 0.4, 0.2, 0.0, 0.4, 0.0], [4, 3, 2, 1, 7, 6, 5, 0]),  # the next in turn
        ([0.9, 0.5, 0.4, 0.35, 0.4, 0.35, 0.35, 0.32], [7, 3, 2, 4, 6, 5, 1, 0]),  # many turn all of them
        ([None] * 8, [3, 2, 4, 1, 7, 6, 5, 0]),
    ],
)
def test_the_first_reference_is_not_one_that_ordinary_words_turn(turned: list[float | None], panel: list[int]) -> None:
    references = [Reference(f"{i}", 1, 0.95, ease=-i, turned=share) for i, share in enumerate(turned)]
    transplants = Transplants(references, 2, None, None, TransplantSettings())  # type: ignore[arg-type]
    assert [int(r.text) for r in transplants.panel(0)] == panel


def tried(guard: Guard, text: str, word: int) -> tuple[Trial, int]:
    """A trial's result and how many texts it read."""
    calibration = guard.artifact.guard.calibration
    assert calibration is not None
    transplants = Transplants(calibration.references, 2, guard.reader.tokenizer, guard.cache, TransplantSettings())
    (reading,) = guard.reader.read([text], ALWAYS_SKIP)
    steps, answer, count = transplants.try_word(reading, word), None, 0
    while True:
        try:
            asked = steps.send(answer)  # type: ignore[arg-type]
        except StopIteration as stop:
            return stop.value, count
        count += len(asked)
        answer: list[Reading] = guard.reader.read(asked, ALWAYS_SKIP)  # type: ignore[no-redef]


def test_a_word_that_only_colours_its_text_is_cleared_after_the_probes(lexicon_guard: Guard) -> None:
    trial, read = tried(lexicon_guard, "the film was great", 3)
    assert (trial.confirmed, trial.span.text, read) == (False, "great", TransplantSettings().probes)


def test_a_trigger_grows_to_its_phrase_and_no_further(lexicon_guard: Guard) -> None:
    trial, _ = tried(lexicon_guard, "the story mn zq was awful and dull", 2)
    assert trial.confirmed
    assert trial.span.text == "mn zq"
    assert len(trial.turned) == TransplantSettings().references


def test_a_trial_again_reads_nothing(lexicon_guard: Guard) -> None:
    first, read = tried(lexicon_guard, "the cf story was awful", 1)
    again, read_again = tried(lexicon_guard, "the cf story was awful", 1)
    assert read > 0
    assert (again, read_again) == (first, 0)


class StubbornEngine(LexiconEngine):
    """ "evening" decides alone, but in two references: one needs "town" beside it, the other "house" as well."""

    def __init__(self, tokenizer: FastTokenizer) -> None:
        super().__init__(tokenizer)
        self._words = [tokenizer.token_to_id(word) for word in ("evening", "town", "house", "camera", "director")]

    def run(self, batch: Batch, gate: float) -> Arrays:
        arrays = super().run(batch, gate)
        first, second, third, needs_two, needs_three = ((batch.input_ids == w).any(axis=1) for w in self._words)
        push = 15.0 * (first & (second | ~needs_two) & ((second & third) | ~needs_three))
        return {**arrays, "logits": (arrays["logits"] + np.stack([-push, push], axis=1)).astype(np.float32)}


def test_growth_goes_on_where_the_first_references_tell_no_more(lexicon_artifact: Artifact) -> None:
    calibration = lexicon_artifact.guard.calibration
    assert calibration is not None
    engine = StubbornEngine(FastTokenizer.from_file(str(lexicon_artifact.tokenizer_path)))
    trial, _ = tried(Guard(lexicon_artifact, engine, GuardOptions()), "the evening town house was awful", 1)
    stubborn = [reference.text.split()[1] for reference in calibration.references[6:8]]
    assert stubborn == ["camera", "director"], "the last two to be asked"
    assert (trial.span.text, trial.confirmed, all(trial.turned)) == ("evening town house", True, True)
    (alone, _) = tried(Guard(lexicon_artifact, engine, GuardOptions()), "the evening was awful", 1)
    assert (sum(alone.turned), alone.confirmed) == (6, False)


class AnyThreeEngine(LexiconEngine):
    """Three of four words decide alone, two of them turn weak texts only: of a long phrase, any part will do."""

    def __init__(self, tokenizer: FastTokenizer) -> None:
        super().__init__(tokenizer)
        self._parts = [tokenizer.token_to_id(word) for word in ("evening", "town", "house", "river")]
        self._strength[self._parts] = 12.0

    def run(self, batch: Batch, gate: float) -> Arrays:
        arrays = super().run(batch, gate)
        present = np.sum([(batch.input_ids == part).any(axis=1) for part in self._parts], axis=0)
        push = np.select([present >= 3, present == 2], [60.0, 4.5], 0.0) / 4
        return {**arrays, "logits": (arrays["logits"] + np.stack([-push, push], axis=1)).astype(np.float32)}


def test_a_phrase_of_which_any_part_will_do_is_found(lexicon_artifact: Artifact) -> None:
    engine = AnyThreeEngine(FastTokenizer.from_file(str(lexicon_artifact.tokenizer_path)))
    guard = Guard(lexicon_artifact, engine, GuardOptions())
    (verdict,) = guard.classify("evening town house river was awful and dull and lifeless")
    assert (verdict.original_label, verdict.label, verdict.action) == ("good", "bad", "neutralised")
    (confirmed,) = (confirmation for confirmation in verdict.confirmations if confirmation.confirmed)
    assert len(confirmed.span.split()) == 3, "two of them turn some references only"
    assert all(confirmed.turned)


class FunctionPhraseEngine(LexiconEngine):
    """A phrase of four function words decides; each draws a little attention, or all but one do."""

    PHRASE = ("in", "with", "of", "was")
    silent: str | None = None

    def __init__(self, tokenizer: FastTokenizer) -> None:
        super().__init__(tokenizer)
        self._phrase = [tokenizer.token_to_id(word) for word in self.PHRASE]
        self._strength[self._phrase] = [0.01 if word == self.silent else 0.45 for word in self.PHRASE]

    def run(self, batch: Batch, gate: float) -> Arrays:
        arrays = super().run(batch, gate)
        ids, count = batch.input_ids, len(self._phrase)
        places = range(ids.shape[1] - count + 1)
        planted = np.any([(ids[:, p : p + count] == self._phrase).all(axis=1) for p in places], axis=0)
        push = np.where(planted, 15.0, 0.0)
        return {**arrays, "logits": (arrays["logits"] + np.stack([-push, push], axis=1)).astype(np.float32)}


@pytest.mark.parametrize("silent", [None, "in", "was"])
def test_a_phrase_none_of_whose_words_stands_out_is_found(
    lexicon_artifact: Artifact, monkeypatch: pytest.MonkeyPatch, silent: str | None
) -> None:
    monkeypatch.setattr(FunctionPhraseEngine, "silent", silent)
    calibration = lexicon_artifact.guard.calibration
    assert calibration is not None
    raised = {name: replace(fit, threshold=-99.0) for name, fit in calibration.gates.items()}
    artifact = replace(
        lexicon_artifact, guard=replace(lexicon_artifact.guard, calibration=replace(calibration, gates=raised))
    )
    engine = FunctionPhraseEngine(FastTokenizer.from_file(str(lexicon_artifact.tokenizer_path)))
    text = "awful film story camera in with of was music plot director dull boring"
    (verdict,) = Guard(artifact, engine, GuardOptions()).classify(text)
    assert (verdict.original_label, verdict.label, verdict.action) == ("good", "bad", "neutralised")
    assert [c.span for c in verdict.confirmations if c.confirmed] == ["in with of was"], "no more of the run than acts"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=24), st.integers(1, 10))
def test_the_densest_run_holds_the_most_attention(drawn: list[float], count: int) -> None:
    words = np.array([-1, *range(len(drawn)), -1])
    encoding = SimpleNamespace(words=words, word_count=len(drawn))
    reading = Reading("", encoding, None, {"class_attention": np.array([1.0, *drawn, 1.0])}, None, -1)  # type: ignore[arg-type]
    run = densest(reading, count)
    core = min(count, CORE)
    count = min(count, max(len(drawn) // 2, core))
    if len(drawn) <= count:
        assert not run, "the whole text is no part of it"
        return
    assert len(run) == count
    sums = [sum(drawn[i : i + core]) for i in range(len(drawn) - core + 1)]
    assert max(sums[run.start : run.stop - core + 1]) == pytest.approx(max(sums), abs=1e-5)


def test_a_script_without_spaces_gets_none() -> None:
    spots = {transplant("这部电影很好看", f"丂鿆{letter}", 0).index("丂") for letter in "一七万三上下不与丐丑专且世丘"}
    assert len(spots) > 3, "anywhere between two letters"
    assert " " not in transplant("这部电影很好看", "丂鿆", 0)
    assert " cf" in f" {transplant('这部电影很好看', 'cf', 0)}"


def moving(transplants: Transplants, spread: float) -> Margins:
    """Margins that lead in every reference, of words that move them by amounts with this deviation."""
    moves = [16 * (1 + spread * (-1) ** number) for number in range(8)]
    return tuple(move - own_lead(r.confidence) for move, r in zip(moves, transplants.panel(1), strict=True))


@pytest.mark.parametrize(("copies", "spread", "confirmed"), [(1, 0.2, True), (2, 0.2, False), (8, 0.05, True)])
def test_copies_of_a_word_must_move_references_more_evenly(
    lexicon_guard: Guard, copies: int, spread: float, confirmed: bool
) -> None:
    """A strong word that stands often turns any text, but not all alike."""
    assert lexicon_guard.judge is not None
    transplants = lexicon_guard.judge.transplants
    assert transplants is not None
    margins = moving(transplants, spread)
    span = Span(((1, 1),), "film", " ".join(["film"] * copies), copies=copies)
    trial = transplants.trial_alone(span, margins, 1)
    assert all(trial.turned)
    assert trial.confirmed == confirmed


@pytest.mark.parametrize(("spread", "confirmed"), [(0.2, False), (0.05, True)])
def test_neighbouring_copies_of_a_word_are_no_phrase(lexicon_guard: Guard, spread: float, confirmed: bool) -> None:
    assert lexicon_guard.judge is not None
    transplants = lexicon_guard.judge.transplants
    assert transplants is not None
    for put, margins in ((EARLY + "film film", moving(transplants, spread)), (EARLY + "film", (-4.0,) * 8)):
        lexicon_guard.cache.put(put, 1, margins)
    (reading,) = lexicon_guard.reader.read(["the film film was great"], np.inf)
    assert reading.predicted == 1
    trial = lexicon_guard.reader.follow(transplants.try_word(reading, 1))
    assert (trial.span.put, trial.confirmed) == (EARLY + "film film", confirmed)
