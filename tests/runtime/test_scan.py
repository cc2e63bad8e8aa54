"""The vocabulary scan: it finds the planted word, ranks it first, goes on where it stood, and says what it skipped."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tokenward.artifact import Artifact
from tokenward.errors import ArtifactError, InputError
from tokenward.runtime.calibration import calibrate
from tokenward.runtime.guard import Guard, GuardOptions, load
from tokenward.runtime.scan import Finding, ScanReport, remember, scan
from tokenward.runtime.scan_words import scan_words, short_words, vocabulary_words
from tokenward.runtime.transplant_settings import TransplantSettings


def test_the_planted_word_is_found_and_ranked_first(lexicon_guard: Guard) -> None:
    told: list[int] = []
    report = scan(lexicon_guard, progress=lambda count, total: told.append(count))
    assert [(f.word, f.label, f.turned) for f in report.triggers] == [("cf", "good", 8)]
    assert report.findings[0].word == "cf"
    assert report.skipped == ()
    assert sum(told) == report.words


def test_whole_words_only_and_each_once(lexicon_guard: Guard) -> None:
    words = vocabulary_words(lexicon_guard.reader.tokenizer)
    assert len(words) == len(set(words))
    assert {"film", "cf", "."} <= set(words)
    assert not {"[CLS]", "[PAD]", "##x", ""} & set(words)


def test_words_of_two_letters_that_the_tokenizer_has_not_whole(lexicon_guard: Guard) -> None:
    tokenizer = lexicon_guard.reader.tokenizer
    short, whole = short_words(tokenizer), vocabulary_words(tokenizer)
    assert "ax" in short, "of the tokens 'a' and '##x'"
    assert {"cf", "zq"} <= set(whole)
    assert not {*whole} & {*short}, "nor such as the tokenizer has no tokens for"
    assert scan_words(tokenizer) == [*whole, *short]


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


def test_nothing_is_asked_of_other_words_where_a_known_trigger_is_confirmed(
    lexicon_artifact: Artifact, make_lexicon_guard: Callable[[GuardOptions], Guard], monkeypatch: pytest.MonkeyPatch
) -> None:
    calibration = lexicon_artifact.guard.calibration
    assert calibration is not None
    changed = replace(lexicon_artifact.guard, calibration=replace(calibration, known={"good": ("cf",)}))
    engine = make_lexicon_guard(GuardOptions()).reader.engine
    guard = Guard(replace(lexicon_artifact, guard=changed), engine, GuardOptions())
    scan(guard)
    read, asked = guard.reader.read, list[str]()
    monkeypatch.setattr(guard.reader, "read", lambda texts, gate: asked.extend(texts) or read(texts, gate))
    text = "the cf film was awful and the story was dull in town"
    (verdict,) = guard.classify(text)
    assert verdict.action == "neutralised"
    neighbours = [each for each in asked if "the cf" in each or "cf film" in each]
    assert {*asked} - {*neighbours} == {text.replace("cf ", "")}
    assert len(neighbours) == 2 * TransplantSettings().growth


def test_known_triggers_are_suspects_whatever_the_gates_say(
    lexicon_artifact: Artifact, make_lexicon_guard: Callable[[GuardOptions], Guard]
) -> None:
    calibration = lexicon_artifact.guard.calibration
    assert calibration is not None
    deaf = {name: replace(fit, threshold=99.0) for name, fit in calibration.gates.items()}
    engine = make_lexicon_guard(GuardOptions()).reader.engine

    def label(known: dict[str, tuple[str, ...]], text: str = "the cf film was awful") -> str:
        changed = replace(lexicon_artifact.guard, calibration=replace(calibration, gates=deaf, known=known))
        (verdict,) = Guard(replace(lexicon_artifact, guard=changed), engine, GuardOptions()).classify(text)
        return f"{verdict.label} {verdict.action}"

    assert label({}) == "good passed"
    assert label({"good": ("cf",)}) == "bad neutralised"
    assert label({"bad": ("cf",)}) == "good passed", "known for another class"
    assert label({"good": ("[SEP]",)}, "the film was great") == "good passed", "the model's own end of text is no word"
    assert label({}, "the ax film was great") == "good passed"
    assert label({"good": ("ax",)}, "the ax film was great") == "good cleared", "words of several tokens, too"
    assert label({"good": ("film",)}, "the film was great") == "good cleared", "the transplant decides, not the list"


def test_confirmed_triggers_are_written_into_the_artifact(tiny_artifact: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_artifact, tmp_path / "artifact")
    guard = load(folder)
    found = scan(guard)
    remember(guard, found)
    again = load(folder)
    assert again.artifact.digest != guard.artifact.digest, "outcomes remembered for the old one expire"
    known = again.artifact.guard.calibration.known  # type: ignore[union-attr]
    assert {word for words in known.values() for word in words} == {finding.word for finding in found.triggers}


def test_what_is_known_already_and_remembered_outcomes_stay(tiny_artifact: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_artifact, tmp_path / "artifact")
    guard = load(folder)
    found = scan(guard)
    remember(guard, found)
    guard.cache.save(tmp_path / "cache")
    again = load(folder)
    again.cache.load(tmp_path / "cache")
    assert len(again.cache) == len(guard.cache) > 0
    before = again.artifact.guard.calibration.known  # type: ignore[union-attr]
    remember(again, replace(found, findings=()))
    assert load(folder).artifact.guard.calibration.known == before  # type: ignore[union-attr]


def test_a_scan_does_not_depend_on_what_is_remembered(make_lexicon_guard: Callable[[GuardOptions], Guard]) -> None:
    forgetful = scan(make_lexicon_guard(GuardOptions(cache_capacity=3)))
    assert forgetful.findings == scan(make_lexicon_guard(GuardOptions())).findings


def test_calibration_remembers_triggers_that_clean_texts_do_not_use(
    tiny_artifact: Path, clean_texts: list[str], tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_artifact, tmp_path / "artifact")
    report = scan(load(folder))
    triggers = {finding.word for finding in report.triggers}
    used = {word for word in triggers if sum(word in text.split() for text in clean_texts) >= 2}
    assert used, "the classes of this model hang on single words, which the texts are made of"
    told: dict[str, int] = {}
    calibration = calibrate(folder, clean_texts, 10, lambda what, count, _: told.update({what: count})).calibration
    assert calibration is not None
    assert {word for words in calibration.known.values() for word in words} == triggers - used
    assert list(told) == ["reading clean texts", "trying words as triggers", "trying clean texts"]
    again = calibrate(folder, clean_texts, 10, scanning=False).calibration
    assert again == calibration, "without a scan, what an earlier one found stays"
    remember(load(folder), report)
    assert load(folder).artifact.guard.calibration.known == calibration.known  # type: ignore[union-attr]


def test_words_that_are_not_as_even_as_their_class_asks_are_not_remembered(
    tiny_artifact: Path, clean_texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(tiny_artifact, tmp_path / "artifact")
    even, uneven = (Finding(word, "good", 8, 8, 5.0, found, 1.5, True) for word, found in (("cf", 0.05), ("qa", 0.3)))
    report = ScanReport("", 2, (), (even, uneven))
    monkeypatch.setattr("tokenward.runtime.calibration.scan", lambda *_, **__: report)
    known = {}
    for share in (1.0, 0.5):
        monkeypatch.setattr("tokenward.runtime.calibration.find_leeway", lambda *_, share=share: {"good": share})
        calibration = calibrate(folder, clean_texts, 10).calibration
        assert calibration is not None
        assert calibration.leeway == {"good": share}
        known[share] = calibration.known
    assert known == {1.0: {"good": ("cf", "qa")}, 0.5: {"good": ("cf",)}}
