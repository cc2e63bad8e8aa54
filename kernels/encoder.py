"""A BERT-like classifier, forward and backward to its input, on packed rows and without an S×S matrix.

Layers normalise after adding:

    s₁ = x + O(attention(x)),  h = LN(s₁)        s₂ = h + W₂ GELU(W₁ h),  x' = LN(s₂)

so the gradient reaches every normalisation along two paths, which `layer_norm_backward` adds as it reads them. No
gradient of a weight is ever computed. The last layer runs for the class tokens alone: nothing else is read from it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from .flash_backward import Gradients, Saved, flash_backward
from .flash_received import add_received, attend
from .gelu_backward import gelu_backward
from .layer_norm_backward import layer_norm_backward
from .segments import Segments
from .weights import Layer, Weights

# Half floats lose what is below 6e-8: gradients are made larger on the way down. Scores do not depend on the factor.
GRADIENT_SCALE = {torch.float32: 1.0, torch.bfloat16: 1.0, torch.float16: 256.0}


class _LayerTrace(NamedTuple):
    """What one layer's backward pass needs; names as in the module's formulas."""

    attention: Saved
    s1: Tensor
    inner: Tensor
    s2: Tensor


@dataclass
class Trace:
    """One forward pass of N rows.

    Attributes:
        class_rows: row of each text's class token, int64 [B].
        alone: where the class tokens lie among themselves.
        class_hidden: the class tokens behind the last layer, float32 [B, hidden].
        received: per head, [H, N], summed over the chosen layers that the forward pass was to count.
        class_attention: per head, [L', H, N], of the last L' layers.
    """

    texts: Segments
    class_rows: Tensor
    alone: Segments
    embedded: Tensor
    received: Tensor
    class_attention: Tensor
    class_hidden: Tensor = field(init=False)
    layers: dict[int, _LayerTrace] = field(default_factory=dict)


class Choice(NamedTuple):
    """The texts whose gradient is wanted.

    Attributes:
        numbers: which they are, int64 [B'].
        saved: where they lie in the rows of the forward pass.
        packed: where they lie in the rows of the gradient.
        rows: int32 [N'], the row of the forward pass that each row of the gradient belongs to.
    """

    numbers: Tensor
    saved: Segments
    packed: Segments
    rows: Tensor

    @classmethod
    def all(cls, texts: Segments, rows: int) -> Choice:
        """Every text, the gradient's rows being those of the forward pass."""
        device = texts.starts.device
        every_row = torch.arange(rows, dtype=torch.int32, device=device)
        return cls(torch.arange(len(texts), device=device), texts, texts, every_row)

    @classmethod
    def some(cls, lengths: Sequence[int], numbers: Sequence[int], device: torch.device) -> Choice:
        """The texts of these numbers, among texts of these lengths that are packed end to end."""
        ends = list(accumulate(lengths))
        sizes = [lengths[b] for b in numbers]
        rows = torch.cat([torch.arange(ends[b] - lengths[b], ends[b], dtype=torch.int32) for b in numbers])
        return cls(
            torch.tensor(numbers, device=device),
            Segments.of([ends[b] - lengths[b] for b in numbers], sizes, device),
            Segments.packed(sizes, device),
            rows.to(device),
        )


class Encoder:
    """Runs a classifier's :class:`Weights`; all tensors live where they do, in their type."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self._last = len(weights.layers) - 1
        width = weights.layers[0].mixed.weight.shape[0]
        self._heads = (weights.heads, width // weights.heads)
        self._scale = self._heads[1] ** -0.5
        self.gradient_scale = GRADIENT_SCALE[weights.words.dtype]

    def logits(self, class_hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, classes], and the gradient [B, hidden] of each text's own largest one."""
        with torch.enable_grad():
            leaf = class_hidden.detach().requires_grad_()
            logits = self.weights.logits(leaf)
            (gradient,) = torch.autograd.grad(logits.max(dim=1).values.sum(), leaf)
        return logits.detach(), gradient

    def forward(
        self,
        ids: Tensor,
        positions: Tensor,
        texts: Segments,
        count: Collection[int],
        keep_from: int | None,
        look_from: int,
    ) -> Trace:
        """Run N rows.

        Args:
            ids, positions: int64 [N].
            texts: where the texts lie; each begins with its class token.
            count: layers whose attention received is summed now (the backward pass gives it for nothing).
            keep_from: first layer whose values the backward pass will need; None for no backward pass.
            look_from: first layer whose class attention is wanted.
        """
        weights, starts = self.weights, texts.starts.long()
        embedded = weights.words[ids] + weights.positions[positions]
        sums = torch.zeros(1 + len(weights.layers) - look_from, weights.heads, len(ids), device=ids.device)
        trace = Trace(texts, starts, one_each(texts), embedded, received=sums[0], class_attention=sums[1:])
        x = weights.embedding_norm(embedded)
        if weights.projection is not None:
            x = weights.projection(x)
        for index, layer in enumerate(weights.layers):
            step = self._class_layer if index == self._last else self._layer
            x, kept = step(layer, x, trace, index in count)
            if index >= look_from:
                self._look(index, kept.attention, trace, trace.class_attention[index - look_from])
            if keep_from is not None and index >= keep_from:
                trace.layers[index] = kept
        trace.class_hidden = x.float()
        return trace

    def _layer(self, layer: Layer, x: Tensor, trace: Trace, count: bool) -> tuple[Tensor, _LayerTrace]:
        texts = trace.texts
        q, k, v = layer.qkv(x).view(len(x), 3, *self._heads).unbind(1)
        output, lse = attend(q, k, v, self._scale, texts, texts)
        if count:
            add_received(q, k, lse, self._scale, texts, texts, trace.received)
        return self._after_attention(layer, x, Saved(q, k, v, output, lse))

    def _class_layer(self, layer: Layer, x: Tensor, trace: Trace, count: bool) -> tuple[Tensor, _LayerTrace]:
        """The last layer: keys and values of all tokens, everything else for the class tokens."""
        texts = trace.texts
        query, key_value = layer.qkv.split(x.shape[1])
        k, v = key_value(x).view(len(x), 2, *self._heads).unbind(1)
        if count:
            q = query(x).view(len(x), *self._heads)
            lse = attend(q, k, v, self._scale, texts, texts)[1]
            add_received(q, k, lse, self._scale, texts, texts, trace.received)
        q = query(x[trace.class_rows]).view(-1, *self._heads)
        output, lse = attend(q, k, v, self._scale, trace.alone, texts)
        return self._after_attention(layer, x[trace.class_rows], Saved(q, k, v, output, lse))

    def _look(self, index: int, attention: Saved, trace: Trace, into: Tensor) -> None:
        """Add what the class tokens look at to ``into`` [H, N]: with them as the only queries, it is what is received.

        They are all queries of the last layer, and the first one of each text in the others.
        """
        texts, alone = trace.texts, trace.alone
        classes = alone if index == self._last else replace(texts, lengths=alone.lengths, longest=1)
        add_received(attention.q, attention.k, attention.lse, self._scale, classes, texts, into)

    @staticmethod
    def _after_attention(layer: Layer, x: Tensor, attention: Saved) -> tuple[Tensor, _LayerTrace]:
        s1 = layer.mixed(attention.output.flatten(1)) + x
        h = layer.attention_norm(s1)
        inner = layer.up(h)
        s2 = layer.down(torch.nn.functional.gelu(inner)) + h
        return layer.output_norm(s2), _LayerTrace(attention, s1, inner, s2)

    def backward(self, trace: Trace, d_class: Tensor, choice: Choice, layer: int, count: Collection[int]) -> Tensor:
        """Gradient at the input of ``layer`` (0: at the word embeddings) of the chosen texts, [N', width].

        It comes multiplied by ``gradient_scale``. What ``trace`` keeps of the layers is used up.

        Args:
            d_class: gradient of ``trace.class_hidden`` for the chosen texts, [B', hidden] float32.
            count: layers, from ``layer`` to the last but one, whose attention received is summed on the way.
        """
        weights = self.weights
        gradient, past = (d_class * self.gradient_scale).to(weights.words.dtype), None
        gradient = self._class_layer_backward(trace, gradient, choice)
        for index in range(self._last - 1, layer - 1, -1):
            gradient, past = self._layer_backward(index, trace, gradient, past, choice, index in count)
        if past is not None and (layer > 0 or weights.projection is not None):
            gradient, past = gradient + past, None
        if layer > 0:
            return gradient
        if weights.projection is not None:
            gradient = gradient @ weights.projection.weight
        norm = weights.embedding_norm
        return layer_norm_backward(gradient, past, trace.embedded, choice.rows, norm.weight, norm.epsilon)

    def _layer_backward(
        self, index: int, trace: Trace, gradient: Tensor, past: Tensor | None, choice: Choice, count: bool
    ) -> tuple[Tensor, Tensor]:
        """From the gradient of a layer's output to that of its input, as the two paths that are still to be added."""
        layer, kept = self.weights.layers[index], trace.layers.pop(index)
        d_s1 = _feed_forward_backward(layer, kept, gradient, past, choice.rows)
        d_qkv = d_s1.new_empty(len(d_s1), 3, *self._heads)
        received = trace.received if count else torch.empty_like(trace.received)
        flash_backward(
            (d_s1 @ layer.mixed.weight).view(-1, *self._heads), kept.attention, self._scale,
            choice.saved, choice.saved, Gradients(*d_qkv.unbind(1)), choice.packed, choice.packed, received,
        )  # fmt: skip
        return d_qkv.flatten(1) @ layer.qkv.weight, d_s1

    def _class_layer_backward(self, trace: Trace, gradient: Tensor, choice: Choice) -> Tensor:
        layer, kept = self.weights.layers[-1], trace.layers.pop(self._last)
        d_s1 = _feed_forward_backward(layer, kept, gradient, None, choice.numbers.int())
        query, key_value = layer.qkv.split(d_s1.shape[1])
        d_q = d_s1.new_empty(len(d_s1), *self._heads)
        d_kv = d_s1.new_zeros(len(choice.rows), 2, *self._heads)
        flash_backward(
            (d_s1 @ layer.mixed.weight).view(-1, *self._heads), kept.attention, self._scale,
            one_each(choice.saved, choice.numbers), choice.saved, Gradients(d_q, *d_kv.unbind(1)),
            one_each(choice.packed), choice.packed, torch.empty_like(trace.received),
        )  # fmt: skip
        gradient = d_kv.flatten(1) @ key_value.weight
        gradient[choice.packed.starts.long()] += d_q.flatten(1) @ query.weight + d_s1
        return gradient


def _feed_forward_backward(
    layer: Layer, kept: _LayerTrace, gradient: Tensor, past: Tensor | None, rows: Tensor
) -> Tensor:
    """From the gradient of x' to that of s₁."""
    d_s2 = layer_norm_backward(gradient, past, kept.s2, rows, layer.output_norm.weight, layer.output_norm.epsilon)
    d_inner = gelu_backward(d_s2 @ layer.down.weight, kept.inner, rows)
    norm = layer.attention_norm
    return layer_norm_backward(d_inner @ layer.up.weight, d_s2, kept.s1, rows, norm.weight, norm.epsilon)


def one_each(texts: Segments, index: Tensor | None = None) -> Segments:
    """One row per text: the row of its own number, or of the number that ``index`` [B] gives."""
    numbers = torch.arange(len(texts), device=texts.starts.device) if index is None else index
    rows = len(texts) if index is None else 0  # numbers on the device cannot be checked here
    return Segments(numbers.int(), texts.lengths.clamp(max=1), 1, rows)
