"""Micro-batches: texts of like length together, each batch bounded by its padded tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from .engine import Batch
from .tokenization import Encoding


def plan(lengths: Sequence[int], token_budget: int) -> Iterator[list[int]]:
    """Yield groups of indices, longest first, so that ``longest × count`` stays within ``token_budget``.

    A single text longer than the budget gets a batch of its own. Longest first: the largest buffers are allocated
    once, at the start.
    """
    group: list[int] = []
    longest = 0
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if group and longest * (len(group) + 1) > token_budget:
            yield group
            group = []
        if not group:
            longest = lengths[index]
        group.append(index)
    if group:
        yield group


def pad(encodings: Sequence[Encoding], pad_id: int) -> Batch:
    """Right-pad encodings to the longest of them."""
    longest = max(map(len, encodings))
    input_ids = np.full((len(encodings), longest), pad_id, dtype=np.int64)
    attention_mask = np.zeros((len(encodings), longest), dtype=np.int64)
    for row, encoding in enumerate(encodings):
        input_ids[row, : len(encoding)] = encoding.ids
        attention_mask[row, : len(encoding)] = 1
    return Batch(input_ids, attention_mask)
