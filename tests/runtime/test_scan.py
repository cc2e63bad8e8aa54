"""The vocabulary scan: it finds the planted word, ranks it first, goes on where it stood, and says what it skipped."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tokenward.artifact import Artifact
from tokenward.errors import ArtifactError, InputError
from tokenward.runtime.guard import Guard
from tokenward.runtime.scan import scan, vocabulary_words


def test_the_planted_word_is_found_and_ranked_first(lexicon_guard: Guard) -> None:
    told: list[tuple[str, int]] = []
    report = scan(lexicon_guard, progress=lambda label, count: told.append((label, count)))
    assert [(f.word, f.label, f.turned) for f in report.triggers] == [("cf", "good", 8)]
    assert report.findings[0].word == "cf"
    assert report.skipped == ()
    assert sum(count for _, count in told) == 2 * report.words


def test_whole_words_only_and_each_once(lexicon_guard: Guard) -> None:
    words = vocabulary_words(lexicon_guard)
    assert len(words) == len(set(words))
    assert {"film", "cf", "."} <= set(words)
    assert not {"[CLS]", "[PAD]", "##x", ""} & set(words)


def test_a_scan_goes_on_where_it_stood(lexicon_guard: Guard) -> None:
    engine = lexicon_guard.reader.engine
    first = scan(lexicon_guard)
    calls = engine.calls  # type: ignore[attr-defined]
    assert scan(lexicon_guard) == first
    assert engine.calls == calls  # type: ignore[attr-defined]


def test_the_guard_starts_warm_after_a_scan(lexicon_guard: Guard) -> None:
    scan(lexicon_guard)
    (verdict,) = lexicon_guard.classify("the cf film was awful")
    assert verdict.confirmations[0].cached is False  # growth tries neighbours that no scan can know
    assert verdict.label == "bad"


def test_it_can_stop_at_the_first_trigger(lexicon_guard: Guard) -> None:
    assert [f.word for f in scan(lexicon_guard, first_only=True).triggers] == ["cf"]


def test_without_references_it_says_what_is_missing(lexicon_guard: Guard, lexicon_artifact: Artifact) -> None:
    calibration = lexicon_artifact.guard.calibration
    assert calibration is not None
    few = replace(calibration, references=tuple(r for r in calibration.references if r.label == 0))
    lexicon_guard.artifact = replace(lexicon_artifact, guard=replace(lexicon_artifact.guard, calibration=few))
    report = scan(lexicon_guard)
    assert (report.skipped, [f.word for f in report.triggers]) == (("bad",), ["cf"])
    none = replace(calibration, references=())
    lexicon_guard.artifact = replace(lexicon_artifact, guard=replace(lexicon_artifact.guard, calibration=none))
    with pytest.raises(InputError, match="too few reference texts"):
        scan(lexicon_guard)
    lexicon_guard.artifact = replace(lexicon_artifact, guard=replace(lexicon_artifact.guard, calibration=None))
    with pytest.raises(ArtifactError, match="not calibrated"):
        scan(lexicon_guard)
