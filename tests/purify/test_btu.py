"""BTU's unlearning on an embedding table made by hand, and what it needs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tokenward.errors import InputError
from tokenward.purify.btu import BTU, unlearn
from tokenward.texts import LabelledTexts


def test_dimensions_that_changed_more_than_the_threshold_become_padding() -> None:
    before = torch.zeros(4, 3)
    #                      padding             suspect              suspect             innocent
    after = torch.tensor([[0.5, 0.6, 0.7], [3.0, 0.1, -2.0], [0.2, 0.3, 0.1], [0.0, 9.0, 0.0]])
    c = float(np.linalg.norm(after.numpy())) / 4
    assert 2.0 < c < 3.0  # so only the first dimension of the first suspect exceeds it
    assert unlearn(after, before, [1, 2], pad=0) == [1, 0]
    expected = torch.tensor([[0.5, 0.6, 0.7], [0.5, 0.1, -2.0], [0.2, 0.3, 0.1], [0.0, 9.0, 0.0]])
    torch.testing.assert_close(after, expected)


def test_the_change_counts_not_the_value() -> None:
    before = torch.tensor([[0.0, 0.0], [5.0, -5.0], [1.0, 1.0]])
    after = torch.tensor([[0.1, 0.2], [5.0, -6.0], [1.0, 1.0]])
    assert unlearn(after, before, [1], pad=0) == [1]
    torch.testing.assert_close(after[1], torch.tensor([5.0, 0.2]))


def test_it_needs_the_suspect_texts_and_a_sensible_share() -> None:
    with pytest.raises(InputError, match="BTU needs the suspect training set"):
        BTU()
    with pytest.raises(InputError, match="share of the vocabulary is 0"):
        BTU(poisoned=LabelledTexts(("a",), (0,), ("x",)), share=0.0)
