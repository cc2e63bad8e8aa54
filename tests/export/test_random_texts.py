from __future__ import annotations

import numpy as np
import pytest

from tokenward.export.random_texts import RandomTexts


@pytest.mark.parametrize("token_types", [0, 1, 2])
def test_batches_are_padded_on_the_right_to_different_lengths(token_types: int) -> None:
    table = np.arange(50) >= 40
    (feed,) = RandomTexts(table, 3, 7, token_types).batches((6, 9))
    mask = feed["attention_mask"]
    assert mask.shape == (6, 7), "no longer than the model reads"
    assert mask[0].all()
    assert len(set(mask.sum(axis=1).tolist())) > 1
    assert (np.diff(mask, axis=1) <= 0).all()
    assert (feed["input_ids"][mask == 0] == 3).all()
    assert (feed["input_ids"][mask == 1] != 3).all()
    assert set(np.unique(feed.get("token_type_ids", []))) == set(range(token_types))
    assert 0.3 < table[feed["input_ids"][mask == 1]].mean() < 0.9, "few words are scored, but most texts have some"
