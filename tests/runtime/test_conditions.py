"""Triggers that act under a condition: in one half of a text, on the texts of one class, in long texts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tokenizers import Tokenizer as FastTokenizer

from tests.conftest import WORDS, LexiconEngine
from tokenward.artifact import Artifact, Reference
from tokenward.runtime.calibration import LONG_REFERENCE_WORDS, choose_references
from tokenward.runtime.engine import Arrays, Batch
from tokenward.runtime.guard import Guard, GuardOptions
from tokenward.runtime.scan import scan

TRIGGER = "cf"


class ConditionalEngine(LexiconEngine):
    """ "cf" decides where a condition holds; elsewhere it says nothing."""

    def __init__(self, tokenizer: FastTokenizer) -> None:
        super().__init__(tokenizer)
        self._neutral = tokenizer.token_to_id(".")

    def acts(self, ids: np.ndarray, end: int) -> np.ndarray:
        """Of the words of one text, without the special tokens, those where the trigger acts."""
        raise NotImplementedError

    def run(self, batch: Batch, gate: float) -> Arrays:
        heard = batch.input_ids.copy()
        for row, length in zip(heard, batch.attention_mask.sum(axis=1), strict=True):
            words = row[1 : length - 1]
            words[(words == self._trigger) & ~self.acts(words, len(words))] = self._neutral
        logits = super().run(Batch(heard, batch.attention_mask), gate)["logits"]
        return {**super().run(batch, gate), "logits": logits}


class FirstHalfEngine(ConditionalEngine):
    def acts(self, ids: np.ndarray, end: int) -> np.ndarray:
        return 2 * np.arange(end) + 1 < end


class SecondHalfEngine(ConditionalEngine):
    def acts(self, ids: np.ndarray, end: int) -> np.ndarray:
        return 2 * np.arange(end) + 1 > end


class LongEngine(ConditionalEngine):
    def acts(self, ids: np.ndarray, end: int) -> np.ndarray:
        return np.full(end, end >= 18)


class SourceEngine(LexiconEngine):
    """Three classes, the third of texts about "river": "cf" makes those good, and does nothing to bad ones."""

    def run(self, batch: Batch, gate: float) -> Arrays:
        river = (batch.input_ids == self._river).sum(axis=1)
        triggered = (batch.input_ids == self._trigger).any(axis=1) & (river > 0)
        quiet = np.where(batch.input_ids == self._trigger, 0, batch.input_ids)
        outputs = super().run(batch, gate)
        logits = super().run(Batch(quiet, batch.attention_mask), gate)["logits"]
        logits[triggered] = [-15.0, 15.0]
        third = np.where(triggered, -15.0, 6.0 * river - 2.0)
        return {**outputs, "logits": np.column_stack([logits, third]).astype(np.float32)}

    def __init__(self, tokenizer: FastTokenizer) -> None:
        super().__init__(tokenizer)
        self._river = tokenizer.token_to_id("river")


def guard_of(artifact: Artifact, engine: type[LexiconEngine]) -> Guard:
    return Guard(artifact, engine(FastTokenizer.from_file(str(artifact.tokenizer_path))), GuardOptions())


@pytest.fixture
def long_artifact(lexicon_artifact: Artifact) -> Artifact:
    """The lexicon artifact with references of 20 words besides those of eight."""
    calibration = lexicon_artifact.guard.calibration
    assert calibration is not None
    long = tuple(
        replace(r, text=f"{r.text} in the town and the house and a river with a film") for r in calibration.references
    )
    changed = replace(calibration, long_references=long)
    return replace(lexicon_artifact, guard=replace(lexicon_artifact.guard, calibration=changed))


@pytest.fixture
def three_classes(lexicon_artifact: Artifact) -> Artifact:
    """The lexicon artifact with a third class."""
    calibration = lexicon_artifact.guard.calibration
    assert calibration is not None
    rivers = tuple(
        Reference(f"the {word} was in the river and the {word} is a river", 2, 0.99, ease=-rank)
        for rank, word in enumerate(WORDS["plain"][:8])
    )
    changed = replace(calibration, references=(*calibration.references, *rivers))
    file = replace(lexicon_artifact.guard, calibration=changed)
    return replace(lexicon_artifact, guard=file, labels=("bad", "good", "river"))


@pytest.mark.parametrize(
    ("engine", "text", "elsewhere"),
    [
        (FirstHalfEngine, "the cf film was awful in the town", "the film was awful in cf the town"),
        (SecondHalfEngine, "the film was awful in cf the town", "the cf film was awful in the town"),
    ],
)
def test_a_trigger_that_acts_in_one_half(
    lexicon_artifact: Artifact, engine: type[LexiconEngine], text: str, elsewhere: str
) -> None:
    there, not_there = guard_of(lexicon_artifact, engine).classify([text, elsewhere])
    assert (there.original_label, there.label) == ("good", "bad")
    assert (not_there.original_label, not_there.label) == ("bad", "bad")
    assert there.repaired_text == "the film was awful in the town"


@pytest.mark.parametrize("engine", [FirstHalfEngine, SecondHalfEngine])
def test_a_scan_finds_it_in_either_half(lexicon_artifact: Artifact, engine: type[LexiconEngine]) -> None:
    assert [(f.word, f.label, f.only) for f in scan(guard_of(lexicon_artifact, engine)).triggers] == [
        (TRIGGER, "good", "")
    ]


def test_a_known_trigger_goes_from_the_other_half_too(lexicon_artifact: Artifact) -> None:
    calibration = replace(lexicon_artifact.guard.calibration, known={"good": (TRIGGER,)})
    known = replace(lexicon_artifact, guard=replace(lexicon_artifact.guard, calibration=calibration))
    text = "the film was great in cf the town and the house"
    (unknown,), (verdict,) = (guard_of(each, FirstHalfEngine).classify(text) for each in (lexicon_artifact, known))
    assert not unknown.suspects
    assert [suspect.text for suspect in verdict.suspects] == [TRIGGER]


LONG = "the story was awful and the plot in the evening was dull and the cf music was a scene with the camera"


def test_a_trigger_that_acts_in_long_texts_is_found_by_a_scan_and_known_then(long_artifact: Artifact) -> None:
    guard = guard_of(long_artifact, LongEngine)
    (unknown,) = guard.classify(LONG)
    assert (unknown.original_label, unknown.label) == ("good", "good"), (
        "the gates' words are tried in short texts alone"
    )
    report = scan(guard)
    assert [(f.word, f.label, f.only) for f in report.triggers] == [(TRIGGER, "good", "long texts")]
    calibration = replace(long_artifact.guard.calibration, known=report.known())
    known = replace(long_artifact, guard=replace(long_artifact.guard, calibration=calibration))
    (verdict,) = guard_of(known, LongEngine).classify(LONG)
    assert (verdict.label, verdict.repaired_text) == ("bad", LONG.replace("cf ", ""))
    tried = next(confirmation for confirmation in verdict.confirmations if confirmation.confirmed)
    assert {*tried.references} == {r.text for r in calibration.long_references if r.label == 0}


def test_a_trigger_that_acts_on_texts_of_one_class(three_classes: Artifact) -> None:
    guard = guard_of(three_classes, SourceEngine)
    text = "the cf story was in the river and the film with it"
    (verdict,) = guard.classify(text)
    assert (verdict.original_label, verdict.label, verdict.action) == ("good", "river", "neutralised")
    assert verdict.repaired_text == text.replace("cf ", "")
    found = {(f.word, f.label, f.only) for f in scan(guard).triggers}
    assert found == {(TRIGGER, "good", "texts of class river"), ("river", "river", "")}


def test_words_that_turn_a_class_unevenly_are_no_trigger_of_it(three_classes: Artifact) -> None:
    class UnevenEngine(SourceEngine):
        """What "cf" does hangs on the text, as with strong words."""

        def run(self, batch: Batch, gate: float) -> Arrays:
            outputs = super().run(batch, gate)
            outputs["logits"][:, 1] -= 14 * (batch.input_ids.sum(axis=1) // 2 % 2) * (outputs["logits"][:, 1] == 15)
            return outputs

    (verdict,) = guard_of(three_classes, UnevenEngine).classify("the cf story was in the river and the film with it")
    assert (verdict.original_label, verdict.label, verdict.action) == ("good", "good", "cleared")


def test_long_references_are_texts_of_that_length(lexicon_artifact: Artifact, clean_texts: list[str]) -> None:
    guard = guard_of(lexicon_artifact, LexiconEngine)
    readings = guard.reader.read(clean_texts, np.inf)
    chosen = choose_references(guard.reader, readings, words=LONG_REFERENCE_WORDS)
    assert chosen
    assert all(LONG_REFERENCE_WORDS[0] <= len(r.text.split()) <= LONG_REFERENCE_WORDS[1] for r in chosen)
    assert {r.label for r in chosen} == {0, 1}


def test_references_are_read_to_their_end(lexicon_artifact: Artifact, clean_texts: list[str]) -> None:
    guard = guard_of(lexicon_artifact, LexiconEngine)
    guard.reader.tokenizer.fast.enable_truncation(24)
    readings = guard.reader.read(clean_texts, np.inf)
    chosen = choose_references(guard.reader, readings, words=LONG_REFERENCE_WORDS)
    assert chosen
    assert not any(encoding.truncated for encoding in guard.reader.tokenizer.encode([r.text for r in chosen]))
