"""Seeded random texts of a model's vocabulary, on which an export is checked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SHORTEST = 3  # tokens of a text of one word between two special ones: some heads read no fewer


@dataclass(frozen=True)
class RandomTexts:
    """What random texts are made of.

    Attributes:
        table: which vocabulary entries are scored, bool [vocabulary].
        pad_id: the token that texts are padded with; it occurs nowhere else.
        max_tokens: longest text.
        token_types: number of token types that the graph knows; 0 where it has no such input.
    """

    table: NDArray[np.bool_]
    pad_id: int
    max_tokens: int
    token_types: int = 0

    def batches(self, *shapes: tuple[int, int]) -> Iterator[dict[str, NDArray[np.int64]]]:
        """Yield a batch of each shape, right-padded to different lengths; half of the tokens or more are scored."""
        vocabulary, words = len(self.table), np.flatnonzero(self.table)
        rng = np.random.default_rng(0)
        for batch, sequence in shapes:
            sequence = min(sequence, self.max_tokens)
            lengths = rng.integers(min(_SHORTEST, sequence), sequence + 1, batch)
            lengths[0] = sequence
            mask = (np.arange(sequence) < lengths[:, None]).astype(np.int64)
            ids = rng.integers(0, vocabulary, (batch, sequence))
            if len(words):
                ids = np.where(rng.random(ids.shape) < 0.5, rng.choice(words, ids.shape), ids)
            ids = np.where(ids == self.pad_id, (self.pad_id + 1) % vocabulary, ids)
            feed = {"input_ids": np.where(mask == 1, ids, self.pad_id), "attention_mask": mask}
            if self.token_types:
                second = mask * (np.arange(sequence) >= lengths[:, None] // 2)
                feed["token_type_ids"] = second % self.token_types
            yield feed
