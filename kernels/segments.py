"""Where the texts of a batch lie among its rows, so that no kernel ever works on padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import InputError

_LAST_ROW = 2**31 - 1  # places are int32 on the device


@dataclass(frozen=True)
class Segments:
    """Text b occupies rows ``starts[b]`` to ``starts[b] + lengths[b]`` of a tensor with one row per token.

    The same kernels so take a padded batch [B, S, …] seen as [B·S, …], texts packed end to end without padding, a
    choice of the texts of either, and the class tokens alone.

    Attributes:
        starts, lengths: int32 [B], on the device.
        longest: upper limit of ``lengths``; it sizes the launch.
        rows: rows that a tensor must have for all texts to lie inside it.
    """

    starts: torch.Tensor
    lengths: torch.Tensor
    longest: int
    rows: int

    def __len__(self) -> int:
        return len(self.starts)

    @classmethod
    def of(cls, starts: Sequence[int], lengths: Sequence[int], device: torch.device | str) -> Segments:
        """Place texts anywhere, in any order.

        Raises:
            InputError: there is no text, the numbers of starts and lengths differ, one is negative or no whole number,
                two texts overlap, or one reaches beyond the rows that int32 can number.
        """
        first, size = np.asarray(starts), np.asarray(lengths)
        whole = all(numbers.ndim == 1 and numbers.size and numbers.dtype.kind == "i" for numbers in (first, size))
        if not whole or first.shape != size.shape or min(first.min(), size.min()) < 0:
            raise InputError(
                f"segments need as many starts as lengths, whole numbers from 0 on: got {starts} and {lengths}"
            )
        if (first > _LAST_ROW - size).any():
            raise InputError(f"segments reach beyond row {_LAST_ROW}: put fewer texts into one batch")
        # What two texts share would be written to by two programs at once.
        taken = np.argsort(first[size > 0])
        if (first[size > 0][taken][1:] < (first + size)[size > 0][taken][:-1]).any():
            raise InputError(f"segments must not overlap: got starts {starts} and lengths {lengths}")
        table = torch.from_numpy(np.stack([first, size]).astype(np.int32)).to(device)
        return cls(table[0], table[1], int(size.max()), int((first + size).max()))

    @classmethod
    def packed(cls, lengths: Sequence[int], device: torch.device | str) -> Segments:
        """Texts end to end.

        Raises:
            InputError: as in :meth:`of`.
        """
        ends = np.cumsum(lengths)
        return cls.of((ends - lengths).tolist(), lengths, device)

    @classmethod
    def padded(cls, lengths: Sequence[int], width: int, device: torch.device | str) -> Segments:
        """Right-padded texts, ``width`` rows each.

        Raises:
            InputError: a text is longer than ``width``, or as in :meth:`of`.
        """
        if max(lengths, default=0) > width:
            raise InputError(f"a text of {max(lengths)} tokens is longer than its {width} rows: give it more")
        return cls.of([b * width for b in range(len(lengths))], lengths, device)

    def check(self, name: str, rows: int, texts: int) -> None:
        """Require that the texts lie inside a tensor of ``rows`` rows and are ``texts`` in number.

        Raises:
            InputError: they do not.
        """
        if self.rows > rows:
            raise InputError(f"'{name}' reaches to row {self.rows} of a tensor that has {rows} rows")
        if len(self) != texts:
            raise InputError(f"'{name}' holds {len(self)} texts, expected {texts}")
