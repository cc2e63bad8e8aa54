"""The fused scoring kernel against the NumPy definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tokenward.errors import InputError
from tokenward.kernels import reference
from tokenward.kernels.segments import Segments
from tokenward.kernels.token_scores import TokenScores, token_scores

# Sums are in float32 whatever the gradient's type, and the reference sees the same rounded gradient.
TOLERANCE = 2e-5


class Case:
    """Random texts of the given lengths, with repeated ids, in a padded batch."""

    def __init__(self, lengths: list[int], D: int, share: float = 0.7, dtype: torch.dtype = torch.float32) -> None:
        rng = np.random.default_rng(len(lengths) * 1000 + D)
        B, S, V = len(lengths), max(lengths) + 3, 40
        self.lengths, self.width = lengths, S
        self.mask = np.arange(S) < np.array(lengths)[:, None]
        self.gradient = torch.from_numpy(rng.normal(size=(B, S, D))).to(dtype)
        self.received = rng.random((B, S), dtype=np.float32)
        self.ids = rng.integers(0, V, (B, S))
        self.table = rng.random(V) < share

    def run(self, device: str, fences: Any) -> TokenScores:
        arrays = self.gradient, *map(torch.from_numpy, (self.received, self.ids, self.table))
        flat = [fences.around(a.flatten(0, 1).to(device) if a.dim() > 1 else a.to(device)) for a in arrays]
        with fences:
            return token_scores(*flat, Segments.padded(self.lengths, self.width, device))

    def check(self, device: str, fences: Any) -> TokenScores:
        found = self.run(device, fences)
        scored = reference.scored_tokens(self.ids, self.mask, self.table)
        saliency = reference.saliency(self.gradient.double().numpy(), self.mask)
        scores = reference.token_scores(self.received, saliency, self.ids, scored)
        score, suspect = reference.anomaly(scores, scored)
        shape = self.mask.shape
        close = {"rtol": TOLERANCE, "atol": TOLERANCE}
        np.testing.assert_allclose(found.saliency.cpu().numpy().reshape(shape), saliency, **close)
        np.testing.assert_allclose(found.scores.cpu().numpy().reshape(shape), scores, **close)
        np.testing.assert_allclose(found.anomaly.cpu().numpy(), score, **close)
        np.testing.assert_array_equal(found.suspect.cpu().numpy(), suspect)
        return found


@pytest.mark.parametrize("D", [1, 5, 64, 384, 1025])
def test_odd_lengths_together(D: int, device: str, fences: Any):
    Case([33, 1, 17, 2], D).check(device, fences)


@pytest.mark.parametrize("S", [1, 2, 17, 129])
def test_one_text(S: int, device: str, fences: Any):
    Case([S], 64).check(device, fences)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype, device: str, fences: Any):
    Case([17, 5], 384, dtype=dtype).check(device, fences)


def test_large_half_precision_gradients_do_not_overflow(device: str, fences: Any):
    case = Case([7], 64, dtype=torch.float16)
    case.gradient *= 1e4
    assert case.check(device, fences).anomaly.isfinite().all()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_nothing_or_everything_scored(share: float, device: str, fences: Any):
    Case([9, 17], 5, share).check(device, fences)


def test_one_scored_token(device: str, fences: Any):
    case = Case([17], 5, 0.0)
    case.table[case.ids[0, 4]] = True
    case.ids[0, 5:] = (case.ids[0, 4] + 1) % 40
    assert case.check(device, fences).suspect.item() >= 0


def test_one_word_over_and_over(device: str, fences: Any):
    case = Case([40], 5, 1.0)
    case.ids[:] = 3
    assert case.check(device, fences).suspect.item() == 0


def test_a_vocabulary_too_large_for_keys_of_32_bits(device: str, fences: Any):
    case = Case([129, 3], 5)
    case.table = np.resize(case.table, 1 << 23)
    case.ids[:, ::3] = len(case.table) - 1 - case.ids[:, ::3] % 2
    case.check(device, fences)


def test_no_gradient_at_all(device: str, fences: Any):
    case = Case([9], 5, 1.0)
    case.gradient.zero_()
    assert case.check(device, fences).anomaly.item() == 0


def test_an_empty_text_among_others(device: str, fences: Any):
    assert Case([4, 0, 4], 5).check(device, fences).suspect[1].item() == -1


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_flagged(poison: float, device: str, fences: Any):
    case = Case([9, 9], 64, 1.0)
    case.gradient[0, 3, 10] = poison
    with np.errstate(invalid="ignore"):
        found = case.check(device, fences)
    assert found.anomaly[0].isnan()
    assert found.suspect[0] == -1
    assert found.anomaly[1].isfinite()


def test_attention_that_is_not_finite_is_flagged(device: str, fences: Any):
    case = Case([9], 64, 1.0)
    case.received[0, 8] = np.nan
    assert case.check(device, fences).anomaly.isnan().all()


@pytest.mark.parametrize("rogue", [-1, 40, 2**40])
def test_ids_outside_the_table_are_never_read(rogue: int, device: str, fences: Any):
    """Whatever lies beyond the table, such an id is not scored (the fences are true for booleans)."""
    case = Case([9], 5, 1.0)
    case.ids[0, 2] = rogue
    assert case.run(device, fences).scores[2] == 0


def test_packed_texts_equal_padded_ones(device: str, fences: Any):
    case = Case([5, 12, 1], 64)
    padded = case.run(device, fences)
    kept = torch.from_numpy(case.mask).flatten()
    arrays = case.gradient, *map(torch.from_numpy, (case.received, case.ids))
    flat = [a.flatten(0, 1)[kept].to(device) for a in arrays]
    packed = token_scores(*flat, torch.from_numpy(case.table).to(device), Segments.packed(case.lengths, device))
    assert torch.equal(packed.scores, padded.scores[kept.to(device)])
    assert torch.equal(packed.anomaly, padded.anomaly)
    assert torch.equal(packed.suspect, padded.suspect)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gradient": torch.zeros(4, 3, dtype=torch.float64)}, "'gradient' is float64"),
        ({"gradient": torch.zeros(3, 4).T}, "'gradient' is not contiguous"),
        ({"gradient": torch.zeros(4)}, "'gradient' has shape"),
        ({"gradient": torch.zeros(4, 0)}, "'gradient' has shape \\[4, 0\\], expected \\[4, 1\\]"),
        ({"received": torch.zeros(5)}, "'received' has shape \\[5\\], expected \\[4\\]"),
        ({"received": torch.zeros(4, device="meta")}, "'received' is on meta"),
        ({"ids": torch.zeros(4, dtype=torch.int32)}, "'ids' is int32, expected int64"),
        ({"table": torch.zeros(9)}, "'table' is float32"),
        ({"texts": Segments.of([1], [4], "cpu")}, "'texts' reaches to row 5 of a tensor that has 4"),
    ],
)
def test_bad_input_is_named_before_the_launch(change: dict[str, Any], message: str, device: str):
    arguments = {
        "gradient": torch.zeros(4, 3),
        "received": torch.zeros(4),
        "ids": torch.zeros(4, dtype=torch.int64),
        "table": torch.zeros(9, dtype=torch.bool),
        "texts": Segments.of([0], [4], "cpu"),
    }
    with pytest.raises(InputError, match=message):
        token_scores(**{**arguments, **change})
