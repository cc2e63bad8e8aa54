"""A trigger that the class token looks at in the first layer alone, which the last layer does not show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tokenizers import Tokenizer as FastTokenizer

from tests.conftest import LexiconEngine
from tokenward.artifact import Artifact, LayerScale
from tokenward.runtime.calibration import PERCENTILES
from tokenward.runtime.engine import ALWAYS_SKIP, BY_LAYER, Arrays, Batch
from tokenward.runtime.gates import ClassTokenGate, fit, known_gates
from tokenward.runtime.guard import Guard, GuardOptions, tokenizer_of
from tokenward.runtime.layers import PERCENTILE, layer_scales, scaled
from tokenward.runtime.reading import LEAST_UNIT, Reader, Reading, most_attention

TRIGGERED = "cf the film was awful and the plot was dull and the music was lifeless"
FAINT = 0.01  # what the first layer's class token has left for words


class EarlyEngine(LexiconEngine):
    """The lexicon classifier: the last layer looks at "cf" as at any word, the first one at nothing else of note."""

    def __init__(self, tokenizer: FastTokenizer) -> None:
        super().__init__(tokenizer)
        self._strength[self._trigger] = 0.3

    def run(self, batch: Batch, gate: float) -> Arrays:
        """The last layer as it was, and one before it."""
        arrays = dict(super().run(batch, gate))
        looks = np.where(batch.input_ids == self._trigger, 8.0, 1.0 + batch.input_ids % 3 / 10) * batch.attention_mask
        first = FAINT * looks / looks.sum(axis=1, keepdims=True)
        return {**arrays, BY_LAYER: np.stack([first, arrays["class_attention"]], axis=1).astype(np.float32)}


@pytest.fixture(scope="module")
def engine(lexicon_artifact: Artifact) -> EarlyEngine:
    return EarlyEngine(FastTokenizer.from_file(str(lexicon_artifact.tokenizer_path)))


@pytest.fixture(scope="module")
def readings(lexicon_artifact: Artifact, engine: EarlyEngine, clean_texts: list[str]) -> list[Reading]:
    return Reader(tokenizer_of(lexicon_artifact), engine, 512).read(clean_texts, ALWAYS_SKIP)


def guard_of(artifact: Artifact, engine: EarlyEngine, readings: list[Reading], scales: tuple[LayerScale, ...]) -> Guard:
    calibration = artifact.guard.calibration
    assert calibration is not None
    gate = known_gates(bool(scales))["class_token"]
    fits = {"class_token": fit(gate, [scaled(r, scales) for r in readings], PERCENTILES["class_token"])}
    guard_file = replace(artifact.guard, calibration=replace(calibration, gates=fits, layers=scales))
    return Guard(replace(artifact, guard=guard_file), engine, GuardOptions())


def test_a_trigger_seen_in_the_first_layer_alone_is_found(lexicon_artifact, engine, readings):
    scales = layer_scales(readings)
    assert len(scales) == 2
    (missed,) = guard_of(lexicon_artifact, engine, readings, ()).classify(TRIGGERED)
    (found,) = guard_of(lexicon_artifact, engine, readings, scales).classify(TRIGGERED)
    assert (missed.label, missed.action) == ("good", "passed")
    assert (found.label, found.action, found.suspects[0].text) == ("bad", "neutralised", "cf")
    assert found.anomaly_score is not None
    assert found.threshold is not None
    assert found.anomaly_score > found.threshold


def test_the_strongest_word_of_few_clean_texts_is_over_the_scale(readings):
    for layer, scale in enumerate(layer_scales(readings)):
        alone = [replace(r, tokens={BY_LAYER: r.tokens[BY_LAYER][layer : layer + 1]}) for r in readings]
        over = [ClassTokenGate(1).score(scaled(reading, [scale])).value > 1 for reading in alone]
        assert np.mean(over) == pytest.approx(1 - PERCENTILE / 100, abs=0.01)


def test_readings_are_scaled_as_they_are_read(lexicon_artifact, engine, readings, clean_texts):
    scales = layer_scales(readings)
    read = guard_of(lexicon_artifact, engine, readings, scales).reader.read(clean_texts[:20], ALWAYS_SKIP)
    for now, before in zip(read, readings, strict=False):
        assert BY_LAYER not in now.tokens
        expected = scaled(before, scales).tokens["class_attention"]
        np.testing.assert_allclose(now.tokens["class_attention"], expected, rtol=1e-6)


def test_a_graph_that_gives_the_last_layer_alone_has_no_scales(lexicon_guard, clean_texts):
    read = lexicon_guard.reader.read(clean_texts[:5], ALWAYS_SKIP)
    assert layer_scales(read) == ()
    assert scaled(read[0], ()) is read[0]


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_every_token_has_the_attention_of_the_layer_in_which_it_stands_out_most(batch, layers, width, seed):
    draw = np.random.default_rng(seed)
    attention: NDArray[np.float32] = draw.random((batch, layers, width)).astype(np.float32)
    lengths = draw.integers(1, width + 1, batch).tolist()
    scales = [LayerScale(*draw.uniform(-1, 1, 2).tolist()) for _ in range(layers)]
    found = most_attention(attention, lengths, scales)
    for row, length in enumerate(lengths):
        shares = [attention[row, i] / np.exp(s.slope * np.log(length) + s.intercept) for i, s in enumerate(scales)]
        np.testing.assert_allclose(found[row], np.max(shares, axis=0), rtol=1e-5)


def test_a_layer_that_looks_at_no_word_says_nothing():
    rounding = np.full((1, 1, 3), 1e-9, np.float32)
    assert most_attention(rounding, [3], [LayerScale(0.0, -40.0)]).max() <= 1e-9 / LEAST_UNIT * 1.001
