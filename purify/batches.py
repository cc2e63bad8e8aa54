"""Encoded texts in length-bucketed batches: texts of like length share a batch, so little is spent on padding."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

# Batches are cut from sorted pools of this many batches: wide enough to sort well, narrow enough to stay random.
_POOL = 50


def words_read(max_length: int) -> int:
    """So many first words of a text are read in so many tokens, near enough: a word has a good token."""
    return max_length * 2 // 3


@dataclass(frozen=True)
class Batch:
    """Texts padded to their longest: ``input_ids`` and ``attention_mask`` int64 [B, S], ``labels`` int64 [B].

    ``indices`` int64 [B] are the texts' places in the data.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor
    indices: NDArray[np.int64]

    def inputs(self) -> dict[str, torch.Tensor]:
        """What every encoder takes."""
        return {"input_ids": self.input_ids, "attention_mask": self.attention_mask}


class EncodedTexts:
    """Token ids of texts, truncated to ``max_length`` tokens, with their labels (zeros if there are none)."""

    def __init__(
        self,
        tokenizer: Any,
        texts: Sequence[str],
        labels: Sequence[int] | None = None,
        max_length: int = 128,
        pad_id: int = 0,
    ) -> None:
        """Tokenise all texts at once; batches of them are padded with the token ``pad_id``."""
        options = {"truncation": True, "max_length": max_length, "return_attention_mask": False}
        encoded: list[list[int]] = tokenizer(list(texts), **options)["input_ids"] if texts else []
        # A tokenizer may add no special tokens; of an empty text the model reads padding, as in serving.
        self.ids = [ids or [pad_id] for ids in encoded]
        self.labels = np.zeros(len(self.ids), np.int64) if labels is None else np.asarray(labels, np.int64)
        self.lengths = np.array([len(ids) for ids in self.ids], np.int64)
        self._pad_id = pad_id

    def __len__(self) -> int:
        return len(self.ids)

    def without(self, tokens: Collection[int]) -> EncodedTexts:
        """The same texts with these token ids deleted; a text never loses all its tokens."""
        thinned = copy.copy(self)
        gone = set(tokens)
        thinned.ids = [[i for i in ids if i not in gone] or ids[:1] for ids in self.ids]
        thinned.lengths = np.array([len(ids) for ids in thinned.ids], np.int64)
        return thinned

    def batch(self, indices: NDArray[np.int64], device: torch.device) -> Batch:
        """The texts at ``indices``, padded on the right."""
        lengths = self.lengths[indices]
        shape = (len(indices), int(lengths.max()))
        ids = np.full(shape, self._pad_id, np.int64)
        for row, index in enumerate(indices):
            ids[row, : lengths[row]] = self.ids[index]
        mask = (np.arange(shape[1]) < lengths[:, None]).astype(np.int64)
        ids_tensor, mask_tensor, labels = (
            torch.from_numpy(a).to(device, non_blocking=True) for a in (ids, mask, self.labels[indices])
        )
        return Batch(ids_tensor, mask_tensor, labels, indices)


def shuffled_batches(lengths: NDArray[np.int64], size: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Yield the indices of every text once, in random batches of ``size`` whose texts are of like length."""
    order = rng.permutation(len(lengths))
    pools = [order[start : start + size * _POOL] for start in range(0, len(order), size * _POOL)]
    by_length = np.concatenate([pool[np.argsort(lengths[pool], kind="stable")] for pool in pools])
    starts = np.arange(0, len(by_length), size)
    for start in rng.permutation(starts):
        yield by_length[start : start + size]


def sorted_batches(lengths: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    """Yield the indices of every text once, longest first, so that memory runs out at once or never."""
    order = np.argsort(-lengths, kind="stable")
    for start in range(0, len(order), size):
        yield order[start : start + size]
