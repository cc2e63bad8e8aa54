"""What a micro-batch costs, in tokens of text: by this, texts are put together or apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# What starting the model costs, in tokens. MiniLM: 4 to 9 with one thread, 13 with two, and what Python does for a
# batch; a server with two batches at a time answers 2 to 5 % more texts with 4 to 8 than with 16.
START_TOKENS = 8

# What is left of padding in a packed graph: moving rows, and attention, which grows with the length. MiniLM in batches
# of 32 × 32 to 4 × 256, of which one text is long and the others short: 0.05 to 0.25 of a token.
_MOVED = 0.02
_ATTENDED = 0.001


@dataclass(frozen=True)
class BatchCost:
    """What a micro-batch costs, in tokens of text.

    Attributes:
        start: of starting the model.
        packed: the graph computes most for real tokens alone (see :mod:`tokenward.export.packing`).
    """

    start: int = START_TOKENS
    packed: bool = False

    def __call__(self, longest: int, count: int, tokens: int) -> float:
        """Cost of ``count`` texts of ``tokens`` tokens in all, padded to the ``longest`` of them."""
        return float(self.padded(longest)) * count + self.packed * tokens + self.start

    def padded(self, longest: Any) -> Any:
        """What a text costs by the length that it is padded to, its own tokens left out if the graph is packed.

        A number for a number, which the queue asks for often; an array for an array.
        """
        return longest * (_MOVED + _ATTENDED * longest) if self.packed else longest
