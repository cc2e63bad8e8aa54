"""Reading no text twice: for benchmarks that judge the same texts with many settings."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime.engine import BY_LAYER, Arrays, Batch, Engine
from ..runtime.reading import PER_TOKEN

_Row = dict[str, NDArray[Any]]
_PADDED = (*PER_TOKEN, BY_LAYER)  # their last axis is that of the tokens


class RememberingEngine:
    """An engine that keeps what it gave for every text and gate, and reads only those that are new.

    A text's numbers depend on its batch mates by rounding alone, so remembered ones are as good. Memory grows with the
    texts, by some kilobytes each.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name = engine.name
        self.cost = engine.cost
        self._rows: dict[tuple[bytes, float], _Row] = {}

    def run(self, batch: Batch, gate: float) -> Arrays:
        """See :class:`Engine`."""
        lengths: list[int] = batch.attention_mask.sum(axis=1).tolist()
        keys = [(ids[:length].tobytes(), gate) for ids, length in zip(batch.input_ids, lengths, strict=True)]
        new = [row for row, key in enumerate(keys) if key not in self._rows]
        if new:
            width = max(lengths[row] for row in new)
            part = Batch(batch.input_ids[new, :width], batch.attention_mask[new, :width])
            arrays = self._engine.run(part, gate)
            for place, row in enumerate(new):
                self._rows[keys[row]] = {
                    name: array[place, ..., : lengths[row]].copy() if name in _PADDED else array[place].copy()
                    for name, array in arrays.items()
                }
        remembered = [self._rows[key] for key in keys]
        return {
            name: _stacked([row[name] for row in remembered], batch.input_ids.shape[1] if name in _PADDED else None)
            for name in remembered[0]
        }


def _stacked(rows: list[NDArray[Any]], width: int | None) -> NDArray[Any]:
    """Rows of one output as a batch; those of tokens are padded to ``width`` with zeros."""
    if width is None:
        return np.stack(rows)
    padded = np.zeros((len(rows), *rows[0].shape[:-1], width), rows[0].dtype)
    for target, row in zip(padded, rows, strict=True):
        target[..., : row.shape[-1]] = row
    return padded
