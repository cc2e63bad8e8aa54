"""The definitions, held to their invariants and to sums worked out by hand."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenward.kernels.reference import (
    anomaly,
    attention_received,
    bound,
    class_attention,
    class_attention_by_layer,
    saliency,
    scored_tokens,
    token_scores,
)


class Batch(NamedTuple):
    probabilities: np.ndarray
    gradient: np.ndarray
    ids: np.ndarray
    mask: np.ndarray
    table: np.ndarray

    @property
    def scored(self) -> np.ndarray:
        return scored_tokens(self.ids, self.mask, self.table)

    def scores(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        received, norm = attention_received(self.probabilities, self.mask), saliency(self.gradient, self.mask)
        return received, norm, token_scores(received, norm, self.ids, self.scored)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    L, B, H, D = (draw(st.integers(1, 3)) for _ in range(4))
    S = draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    mask = np.arange(S) < rng.integers(1, S + 1, B)[:, None]
    logits = rng.normal(size=(L, B, H, S, S)) * draw(st.sampled_from([0.1, 3.0, 30.0]))
    logits = np.where(mask[None, :, None, None, :], logits, -np.inf)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    table = rng.random(6) < draw(st.sampled_from([0.0, 0.5, 1.0]))
    gradient = rng.normal(size=(B, S, D)) * 10.0 ** draw(st.integers(-6, 3))
    return Batch(weights / weights.sum(-1, keepdims=True), gradient, rng.integers(0, 6, (B, S)), mask, table)


@given(batches())
def test_attention_received_sums_to_the_number_of_tokens(batch: Batch):
    received = attention_received(batch.probabilities, batch.mask)
    np.testing.assert_allclose(received.sum(1), batch.mask.sum(1), rtol=1e-12)
    assert not received[~batch.mask].any()


@given(batches())
def test_class_attention_is_a_distribution_over_real_tokens(batch: Batch):
    attention = class_attention(batch.probabilities, batch.mask)
    np.testing.assert_allclose(attention.sum(1), 1.0, rtol=1e-12)
    assert not attention[~batch.mask].any()


@given(batches())
def test_class_attention_by_layer_is_one_such_distribution_a_layer_and_ends_with_it(batch: Batch):
    by_layer = class_attention_by_layer(batch.probabilities, batch.mask)
    assert by_layer.shape == (len(batch.mask), len(batch.probabilities), batch.mask.shape[1])
    for layer in range(len(batch.probabilities)):
        up_to_here = class_attention(batch.probabilities[: layer + 1], batch.mask)
        np.testing.assert_array_equal(by_layer[:, layer], up_to_here)


@given(batches(), st.integers(1, 5), st.sampled_from([0.0, 7.0, np.nan]))
def test_scores_do_not_depend_on_the_padding(batch: Batch, extra: int, rubbish: float):
    """Whatever the padded rows and columns hold, a text's numbers stay."""
    wide = Batch(
        np.pad(batch.probabilities, [(0, 0)] * 3 + [(0, extra)] * 2, constant_values=rubbish),
        np.pad(batch.gradient, [(0, 0), (0, extra), (0, 0)], constant_values=rubbish),
        np.pad(batch.ids, [(0, 0), (0, extra)]),
        np.pad(batch.mask, [(0, 0), (0, extra)]),
        batch.table,
    )
    for narrow, padded in zip(batch.scores(), wide.scores(), strict=True):
        np.testing.assert_allclose(padded[:, : narrow.shape[1]], narrow, rtol=1e-9, atol=1e-12)
        assert not padded[:, narrow.shape[1] :].any()
    for narrow, padded in zip(
        anomaly(batch.scores()[2], batch.scored), anomaly(wide.scores()[2], wide.scored), strict=True
    ):
        np.testing.assert_allclose(padded, narrow, rtol=1e-9, atol=1e-12)


@given(batches())
def test_batched_equals_alone(batch: Batch):
    together = batch.scores()
    for b in range(len(batch.ids)):
        one = slice(b, b + 1)
        alone = Batch(batch.probabilities[:, one], batch.gradient[one], batch.ids[one], batch.mask[one], batch.table)
        for whole, single in zip(together, alone.scores(), strict=True):
            np.testing.assert_allclose(whole[one], single, rtol=1e-12)


@given(batches())
def test_a_suspect_is_always_a_scored_token(batch: Batch):
    scores = batch.scores()[2]
    score, suspect = anomaly(scores, batch.scored)
    assert not scores[~batch.scored].any()
    for b, position in enumerate(suspect):
        assert (position == -1) == (not batch.scored[b].any())
        if position >= 0:
            assert batch.scored[b, position]
            assert score[b] == scores[b, position]
        else:
            assert score[b] == 0


@given(batches())
def test_repeated_ids_share_one_score(batch: Batch):
    scores = batch.scores()[2]
    for b in range(len(scores)):
        for token in np.unique(batch.ids[b]):
            assert len(set(scores[b, batch.scored[b] & (batch.ids[b] == token)])) <= 1


@settings(max_examples=300)
@given(batches())
def test_bound_is_never_below_the_score(batch: Batch):
    received, _, scores = batch.scores()
    score, _ = anomaly(scores, batch.scored)
    limit = bound(received, batch.scored)
    assert (score <= limit + 1e-9 * np.abs(limit)).all()


@given(batches())
def test_bound_is_the_least_that_attention_alone_allows(batch: Batch):
    """For every r there is a saliency that attains the bound, so no function of r can be tighter."""
    received, scored = attention_received(batch.probabilities, batch.mask), batch.scored
    worst = np.zeros_like(received)
    worst[np.arange(len(received)), np.where(scored, received, -np.inf).argmax(1)] = 1.0
    score, _ = anomaly(token_scores(received, worst, batch.ids, scored), scored)
    np.testing.assert_allclose(score, bound(received, scored), rtol=1e-9, atol=1e-12)


def test_scores_worked_by_hand():
    received = np.array([[9.0, 1.0, 3.0, 2.0]])
    norm = np.array([[9.0, 4.0, 1.0, 1.0]])
    scored = np.array([[False, True, True, True]])
    # means over T: r 2, s 2. Ids 5 at positions 1 and 3: largest r 2, largest s 4.
    scores = token_scores(received, norm, np.array([[5, 5, 6, 5]]), scored)
    np.testing.assert_allclose(scores, [[0.0, (2 - 2) * (4 / 2), (3 - 2) * (1 / 2), 0.0]])
    assert [float(x[0]) for x in anomaly(scores, scored)] == [0.5, 2]


def test_an_occurrence_outside_the_text_does_not_count():
    """A special or padded position with the same id must not lend its values."""
    scores = token_scores(
        np.array([[1.0, 3.0, 50.0]]), np.array([[1.0, 1.0, 50.0]]), np.array([[1, 2, 2]]),
        np.array([[True, True, False]]),
    )  # fmt: skip
    np.testing.assert_allclose(scores, [[-1.0, 1.0, 0.0]])


def test_no_saliency_at_all_scores_zero():
    ones = np.ones((1, 3))
    scored = ones.astype(bool)
    scores = token_scores(np.array([[1.0, 2.0, 3.0]]), 0 * ones, np.array([[1, 2, 3]]), scored)
    assert not scores.any()
    assert [float(x[0]) for x in anomaly(scores, scored)] == [0.0, 0]


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["received", "saliency"])
def test_values_that_are_not_finite_make_only_their_text_unscorable(poison: float, where: str):
    values = {"received": np.array([[1.0, 2.0, 3.0]] * 2), "saliency": np.array([[1.0, 2.0, 3.0]] * 2)}
    values[where][0, 1] = poison
    scored = np.array([[True, True, False]] * 2)
    scores = token_scores(**values, ids=np.array([[1, 2, 3]] * 2), scored=scored)
    score, suspect = anomaly(scores, scored)
    assert np.isnan(score[0])
    assert suspect[0] == -1
    assert not score[0] < 1e30  # never passes a threshold
    assert np.isfinite(score[1])
    assert suspect[1] == 1


def test_half_precision_gradients_do_not_overflow():
    assert saliency(np.full((1, 1, 4), 6e4, np.float16), np.ones((1, 1), bool)) == pytest.approx(1.2e5, rel=1e-3)
