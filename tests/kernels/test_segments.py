"""Where texts lie among the rows."""

from __future__ import annotations

import pytest
import torch

from tokenward.errors import InputError
from tokenward.kernels.segments import Segments


def test_packed_and_padded_places():
    packed, padded = Segments.packed([3, 1, 4], "cpu"), Segments.padded([3, 1, 4], 5, "cpu")
    assert packed.starts.tolist() == [0, 3, 4]
    assert padded.starts.tolist() == [0, 5, 10]
    assert packed.lengths.tolist() == padded.lengths.tolist() == [3, 1, 4]
    assert (packed.rows, padded.rows) == (8, 14)
    assert packed.longest == padded.longest == 4
    assert packed.starts.dtype == packed.lengths.dtype == torch.int32


ILL_FORMED = "as many starts as lengths, whole numbers from 0 on"


@pytest.mark.parametrize(
    ("starts", "lengths", "message"),
    [
        ([], [], ILL_FORMED),
        ([0], [1, 2], ILL_FORMED),
        ([-1], [3], ILL_FORMED),
        ([0], [-3], ILL_FORMED),
        ([[0]], [[1]], ILL_FORMED),
        ([0, 1], [1, 2.0], ILL_FORMED),
        ([0.0], [1], ILL_FORMED),
        ([0, 1], [3, 3], "must not overlap: got starts \\[0, 1\\] and lengths \\[3, 3\\]"),
        ([4, 0], [1, 5], "must not overlap"),
        ([5, 5], [1, 1], "must not overlap"),
        ([2**31 + 5], [1], "beyond row 2147483647"),
        ([0, 2**31 - 2], [1, 2], "beyond row 2147483647"),
        ([0], [2**63 - 1], "beyond row 2147483647"),
    ],
)
def test_places_that_make_no_sense_are_refused(starts: list[int], lengths: list[int], message: str):
    with pytest.raises(InputError, match=message):
        Segments.of(starts, lengths, "cpu")


def test_texts_in_any_order_and_empty_ones_anywhere():
    texts = Segments.of([4, 0, 2, 2**31 - 2], [2, 4, 0, 1], "cpu")
    assert texts.starts.tolist() == [4, 0, 2, 2**31 - 2]
    assert (texts.longest, texts.rows) == (4, 2**31 - 1)


def test_lengths_that_make_no_sense_are_refused():
    with pytest.raises(InputError, match=ILL_FORMED):
        Segments.packed([1.5, 2.5], "cpu")  # type: ignore[list-item]
    with pytest.raises(InputError, match="a text of 6 tokens is longer than its 4 rows"):
        Segments.padded([6, 2], 4, "cpu")


def test_texts_must_lie_inside_the_tensor():
    texts = Segments.packed([2, 3], "cpu")
    texts.check("texts", 5, 2)
    with pytest.raises(InputError, match="'texts' reaches to row 5 of a tensor that has 4 rows"):
        texts.check("texts", 4, 2)
    with pytest.raises(InputError, match="'texts' holds 2 texts, expected 3"):
        texts.check("texts", 5, 3)
