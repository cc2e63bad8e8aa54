"""How often ordinary words turn each reference, counted anew text by text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from tokenward.runtime.engine import ALWAYS_SKIP
from tokenward.runtime.gates import densest
from tokenward.runtime.guard import Guard, GuardOptions, load
from tokenward.runtime.ordinary import TEXTS, turned_shares
from tokenward.runtime.reading import Reading
from tokenward.runtime.spans import span_of
from tokenward.runtime.standing import transplant
from tokenward.runtime.transplant import HINTED, lead


def second_looks(guard: Guard, readings: list[Reading]) -> list[Reading]:
    """Those for which the judge asks for anything."""
    asking = []
    for reading in readings:
        steps = guard.judge.judge(reading, "enforce")
        try:
            steps.send(None)
            asking.append(reading)
        except StopIteration:
            pass
    return asking


def test_shares_are_those_of_texts_with_a_second_look(
    lexicon_guard: Guard, make_lexicon_guard: Callable[[GuardOptions], Guard], clean_texts: list[str]
) -> None:
    readings = lexicon_guard.reader.read(clean_texts, np.inf)
    found = turned_shares(lexicon_guard, readings)
    gate, _ = lexicon_guard.judge.gates[0]
    looks = second_looks(make_lexicon_guard(GuardOptions(cache_capacity=0)), readings)
    assert 10 < len(looks) < TEXTS
    assert len({*found.values()}) > 1, "nothing would be told apart"
    for label in (0, 1):
        own = [reading for reading in looks if reading.predicted == label]
        words = [[*gate.score(reading).words[:5], *densest(reading, 4)] for reading in own]
        spans = [span_of(lexicon_guard.reader.tokenizer, r, w).put for r, w in zip(own, words, strict=True)]
        for reference in lexicon_guard.judge.transplants.panel(label):
            texts = [transplant(reference.text, span, label) for span in spans]
            turned = [lead(r, label) > 0 for r in lexicon_guard.reader.read(texts, ALWAYS_SKIP)]
            assert found[reference.text] == round(fmean(turned), 4)


def test_words_that_are_vouched_for_turn_nothing(lexicon_guard: Guard, clean_texts: list[str]) -> None:
    """A second look does not try them, so that texts made of them do not count."""
    readings = lexicon_guard.reader.read(clean_texts, np.inf)
    assert turned_shares(lexicon_guard, readings)
    lexicon_guard.judge.transplants._vouched = [frozenset(" ".join(clean_texts).split())] * 2
    assert turned_shares(lexicon_guard, readings) == {}


def test_words_that_turn_nothing_at_once_are_asked_for_no_further(lexicon_guard: Guard, clean_texts: list[str]) -> None:
    company = lexicon_guard.judge._confirmer._company
    readings = lexicon_guard.reader.read(clean_texts, ALWAYS_SKIP)
    usual = [reading.text for reading in readings if not company.groups(reading)]  # few stand out so much
    assert len(usual) > 0.9 * len(clean_texts)
    cleared = [verdict for verdict in lexicon_guard.classify(usual) if verdict.action == "cleared"]
    brief = [verdict.confirmations for verdict in cleared if len(verdict.confirmations) == 1]
    assert len(brief) > len(cleared) / 2, "most clean texts cost no more"
    assert not any(any(tried.turned) or tried.confirmed for (tried,) in brief)
    asked = {len(tried.turned) for (tried,) in brief}
    assert asked == {1, HINTED}, "some move the first reference so far that the second is asked"


def test_calibration_measures_what_the_guard_would_ask(tiny_artifact: Path, clean_texts: list[str]) -> None:
    guard = load(tiny_artifact, "onnx")
    found = turned_shares(guard, guard.reader.read(clean_texts, np.inf))
    kept = {r.text: r.turned for r in guard.artifact.guard.calibration.references if r.turned is not None}
    assert found
    assert kept == pytest.approx(found, abs=0.011), "one text of a hundred may be at the edge in another batch"
