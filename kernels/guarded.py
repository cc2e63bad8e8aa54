"""A classifier with its scores, on the device: encoder, gradient and token scores put together in three ways.

Which one is cheapest depends on whose gradient is wanted: nobody's, everybody's, or that of texts that only the
attention will tell.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from torch import Tensor

from .encoder import Choice, Encoder, Trace
from .segments import Segments
from .token_scores import TokenScores, token_scores


class Inputs(NamedTuple):
    """Ids and positions of N rows, int64, and where the texts lie among them."""

    ids: Tensor
    positions: Tensor
    texts: Segments


class Found(NamedTuple):
    """What one pass gives, in float32.

    Attributes:
        logits: [B, classes].
        class_attention: [N, L'], of the last L' layers: all of them, or the last one alone.
        received: [N].
        scores: of the texts whose gradient was computed, in the rows of that gradient; None where there is none.
    """

    logits: Tensor
    class_attention: Tensor
    received: Tensor
    scores: TokenScores | None


class Guarded:
    """An encoder together with what is to be scored.

    Args:
        encoder: the classifier.
        table: bool [vocabulary], the ids that are scored, on the device.
        depth: layer at whose input the gradient is taken; 0 is the word embeddings.
        attention: layers whose attention received is averaged.
        by_layer: class attention is told of all layers, not of the last one alone.
    """

    def __init__(self, encoder: Encoder, table: Tensor, depth: int, attention: Collection[int], by_layer: bool) -> None:
        self.encoder = encoder
        self._table = table
        self._depth = depth
        self._attention = frozenset(attention)
        last = len(encoder.weights.layers) - 1
        self._look_from = 0 if by_layer else last
        # The backward pass tells the attention of the layers it goes through whole, which the narrowed last one is not.
        self._on_the_way = self._attention & frozenset(range(depth, last))

    def without_gradient(self, inputs: Inputs, with_received: bool) -> Found:
        """Logits and attention alone; without ``with_received``, attention received is 0."""
        trace = self._forward(inputs, self._attention if with_received else (), None)
        return self._found(trace, self.encoder.logits(trace.class_hidden)[0], None)

    def with_gradient(self, inputs: Inputs) -> Found:
        """Everything, for every text."""
        trace = self._forward(inputs, self._attention - self._on_the_way, self._depth)
        logits, d_class = self.encoder.logits(trace.class_hidden)
        choice = Choice.all(inputs.texts, len(inputs.ids))
        gradient = self.encoder.backward(trace, d_class, choice, self._depth, count=self._on_the_way)
        return self._found(trace, logits, self._scores(inputs, gradient, self._received(trace), choice))

    def with_gradient_of(self, inputs: Inputs, choose: Callable[[Tensor], Choice | None]) -> Found:
        """Logits and attention of every text, and the scores of those that ``choose`` picks by attention received."""
        trace = self._forward(inputs, self._attention, self._depth)
        logits, d_class = self.encoder.logits(trace.class_hidden)
        received = self._received(trace)
        choice = choose(received)
        if choice is None:
            return self._found(trace, logits, None)
        gradient = self.encoder.backward(trace, d_class[choice.numbers], choice, self._depth, count=())
        return self._found(trace, logits, self._scores(inputs, gradient, received, choice))

    def _forward(self, inputs: Inputs, count: Collection[int], keep_from: int | None) -> Trace:
        return self.encoder.forward(*inputs, count, keep_from, self._look_from)

    def _scores(self, inputs: Inputs, gradient: Tensor, received: Tensor, choice: Choice) -> TokenScores:
        rows = choice.rows.long()
        scores = token_scores(gradient, received[rows], inputs.ids[rows], self._table, choice.packed)
        return scores._replace(saliency=scores.saliency / self.encoder.gradient_scale)

    def _received(self, trace: Trace) -> Tensor:
        return trace.received.mean(0) / len(self._attention)

    def _found(self, trace: Trace, logits: Tensor, scores: TokenScores | None) -> Found:
        return Found(logits, trace.class_attention.mean(1).T, self._received(trace), scores)
