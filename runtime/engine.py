"""The engine protocol: padded token ids in, named arrays out. Every engine gives the same numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .batch_cost import BatchCost

Arrays = Mapping[str, NDArray[Any]]

NEVER_SKIP = -math.inf  # gate value: compute the gradient of every row
ALWAYS_SKIP = math.inf  # gate value: compute no gradient at all
BY_LAYER = "class_attention_by_layer"  # an output that older artifacts' graphs do not have


@dataclass(frozen=True, slots=True)
class Batch:
    """Right-padded token ids.

    Attributes:
        input_ids: int64 [batch, sequence].
        attention_mask: int64 [batch, sequence], 1 at real tokens.
    """

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]


class Engine(Protocol):
    """A loaded guarded graph."""

    @property
    def name(self) -> str:
        """Short name such as ``onnx``, shown to users."""

    @property
    def cost(self) -> BatchCost:
        """What a batch costs: where more than starting the model can be saved in padding, it is cut in two."""

    def run(self, batch: Batch, gate: float) -> Arrays:
        """Run one padded batch and return the graph's outputs by name (shapes as in the graph's contract).

        Args:
            batch: at least one row; every row has at least one real token.
            gate: rows whose bound is below it need no gradient; see ``NEVER_SKIP`` and ``ALWAYS_SKIP``.
                Ignored by graphs without a gate.

        Raises:
            EngineError: the graph could not be run.
        """
