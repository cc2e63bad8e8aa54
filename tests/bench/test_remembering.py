"""An engine that reads no text twice gives what the engine under it gives."""

from __future__ import annotations

import numpy as np
import pytest

from tokenward.bench.remembering import RememberingEngine
from tokenward.bench.tally import CountingEngine
from tokenward.runtime.engine import ALWAYS_SKIP, NEVER_SKIP
from tokenward.runtime.guard import Guard
from tokenward.runtime.reading import Reader


@pytest.fixture
def counting(lexicon_guard: Guard) -> CountingEngine:
    return CountingEngine(lexicon_guard.reader.engine)


def reader(guard: Guard, engine: CountingEngine | RememberingEngine) -> Reader:
    return Reader(guard.reader.tokenizer, engine, guard.reader.token_budget)


@pytest.mark.parametrize("gate", [ALWAYS_SKIP, NEVER_SKIP])
def test_numbers_are_those_of_the_engine_under_it(
    lexicon_guard: Guard, counting: CountingEngine, clean_texts: list[str], gate: float
) -> None:
    remembering = reader(lexicon_guard, RememberingEngine(counting))
    remembering.read(clean_texts[:7], gate)
    texts = ["good", *clean_texts[3:12], "a bad film and a long one at that"]  # some known, other widths, other mates
    for got, expected in zip(remembering.read(texts, gate), lexicon_guard.reader.read(texts, gate), strict=True):
        np.testing.assert_allclose(got.logits, expected.logits, rtol=1e-6)
        assert got.tokens.keys() == expected.tokens.keys()
        for name, values in expected.tokens.items():
            np.testing.assert_allclose(got.tokens[name], values, rtol=1e-6, atol=1e-7)
        assert got.anomaly_score == pytest.approx(expected.anomaly_score, nan_ok=True)
        assert got.suspect == expected.suspect


def test_a_text_is_read_once_for_each_gate(
    lexicon_guard: Guard, counting: CountingEngine, clean_texts: list[str]
) -> None:
    remembering = reader(lexicon_guard, RememberingEngine(counting))
    texts = list(dict.fromkeys(clean_texts))[:20]
    for _ in range(2):
        remembering.read(texts, ALWAYS_SKIP)
    assert counting.tally.forwards == 20
    remembering.read(texts, NEVER_SKIP)
    assert counting.tally.forwards == 40
