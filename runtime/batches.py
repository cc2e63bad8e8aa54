"""Micro-batches: texts of like length together, cut where padding would cost more than starting the model again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .batch_cost import BatchCost
from .engine import Batch
from .tokenization import Encoding


def plan(lengths: Sequence[int], token_budget: int, cost: BatchCost | None = None) -> list[list[int]]:
    """Groups of indices, longest first, that cost least, summed up (``longest × count + start``, unless packed).

    Each has ``longest × count`` within ``token_budget``; a single text longer than that gets a batch of its own.
    Longest first: the largest buffers are allocated once, at the start.
    """
    cost = cost or BatchCost()
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    longest = np.array([lengths[i] for i in order], dtype=np.int64)
    padded = cost.padded(longest)
    # In that order: what the first texts cost at least, and where their last group then begins.
    least, begins = np.zeros(len(order) + 1), np.zeros(len(order) + 1, dtype=np.int64)
    first = 0
    for end in range(1, len(order) + 1):
        while first < end - 1 and longest[first] * (end - first) > token_budget:
            first += 1
        costs = least[first:end] + padded[first:end] * np.arange(end - first, 0, -1)
        best = int(costs.argmin())
        least[end], begins[end] = costs[best] + cost.start, first + best
    groups: list[list[int]] = []
    end = len(order)
    while end:
        groups.append(order[begins[end] : end])
        end = int(begins[end])
    return groups[::-1]


def pad(encodings: Sequence[Encoding], pad_id: int) -> Batch:
    """Right-pad encodings to the longest of them."""
    longest = max(map(len, encodings))
    input_ids = np.full((len(encodings), longest), pad_id, dtype=np.int64)
    attention_mask = np.zeros((len(encodings), longest), dtype=np.int64)
    for row, encoding in enumerate(encodings):
        input_ids[row, : len(encoding)] = encoding.ids
        attention_mask[row, : len(encoding)] = 1
    return Batch(input_ids, attention_mask)
