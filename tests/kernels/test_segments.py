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


@pytest.mark.parametrize(("starts", "lengths"), [([], []), ([0], [1, 2]), ([-1], [3]), ([0], [-3]), ([[0]], [[1]])])
def test_places_that_make_no_sense_are_refused(starts: list[int], lengths: list[int]):
    with pytest.raises(InputError, match="as many starts as lengths"):
        Segments.of(starts, lengths, "cpu")


def test_texts_must_lie_inside_the_tensor():
    texts = Segments.packed([2, 3], "cpu")
    texts.check("texts", 5, 2)
    with pytest.raises(InputError, match="'texts' reaches to row 5 of a tensor that has 4 rows"):
        texts.check("texts", 4, 2)
    with pytest.raises(InputError, match="'texts' holds 2 texts, expected 3"):
        texts.check("texts", 5, 3)
