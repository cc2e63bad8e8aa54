"""Layers: what the class token looks at in any of them, each measured by what it looks at there in clean texts.

A trigger draws the class token's attention where the model finds it, which need not be the last layer. In small models
that were trained from nothing, that is the first (a phrase, of which the last layer's gate raised 2 % of the texts at
10 % of clean ones: 99 %); of two words planted in the first layers of MiniLM, the third of six (20 %: 100 %). Layers
differ widely in how much attention words get at all, so that each needs a scale of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifact import LayerScale
from .engine import BY_LAYER
from .gates import ClassTokenGate, fit
from .reading import Reading, most_attention

PERCENTILE = 95.0


def layer_scales(readings: Sequence[Reading]) -> tuple[LayerScale, ...]:
    """Fit the scale of each layer on clean readings; none where the graph gives the last layer alone.

    Raises:
        InputError: as :func:`.gates.fit`.
    """
    layers = readings[0].tokens[BY_LAYER].shape[0] if readings and BY_LAYER in readings[0].tokens else 0
    fits = [fit(ClassTokenGate(1), [_of_layer(r, layer) for r in readings], PERCENTILE) for layer in range(layers)]
    return tuple(LayerScale(found.slope, found.intercept + found.threshold) for found in fits)


def scaled(reading: Reading, scales: Sequence[LayerScale]) -> Reading:
    """The reading with the attention of the layer in which each token stands out most; as it is without scales."""
    if not scales:
        return reading
    by_layer = reading.tokens[BY_LAYER]
    others = {name: values for name, values in reading.tokens.items() if name != BY_LAYER}
    drawn = most_attention(by_layer[None], [len(reading.encoding)], scales)[0]
    return replace(reading, tokens={**others, "class_attention": drawn})


def _of_layer(reading: Reading, layer: int) -> Reading:
    row: NDArray[Any] = np.asarray(reading.tokens[BY_LAYER][layer])
    return replace(reading, tokens={"class_attention": row})
