"""Named choices of what a guarded graph computes: how deep the gradient goes and which attention is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..artifact import Preset
from ..errors import InputError

Precision = Literal["fp32", "fp16", "int8"]


@dataclass(frozen=True)
class ExportSettings:
    """What the user asks for; None leaves a choice to the preset.

    Attributes:
        preset: ``paper``: gradient at the word embeddings, attention of all layers, the published score exactly.
            ``late``: gradient at the input of the last layer, attention of the last layer.
            ``tokenward``: the graph of ``late`` whose every request needs what the class token looks at alone.
        gradient_layer: take the gradient at the input of this layer; 0 is the word embeddings.
        attention_layers: layers (from 0) whose attention is averaged.
        narrowed: compute the last layer for the class token only.
        gated: put what not every text needs behind the graph's ``gate`` input.
        merged: make projections of the same rows, such as queries, keys and values, in one product.
        packed: compute what treats tokens alike for real tokens alone, not for padding; not in fp16, since on a GPU
            it would have to wait for their number.
        minimum_agreement: share of texts on which a graph of lower precision must give the label of fp32.
        token_type_ids: give the graph this input.
        labels: class names, in the order of the logits, in place of the model's own.
        max_tokens: longest input, if less than the model's maximum.
    """

    preset: Preset = "tokenward"
    gradient_layer: int | None = None
    attention_layers: tuple[int, ...] | None = None
    narrowed: bool = True
    gated: bool | None = None
    merged: bool = True
    packed: bool = True
    precision: Precision = "fp32"
    minimum_agreement: float = 0.95
    token_type_ids: bool = False
    labels: tuple[str, ...] | None = None
    max_tokens: int | None = None


@dataclass(frozen=True)
class Plan:
    """A preset made concrete for a model; fields as in :class:`ExportSettings`.

    Attributes:
        attention_gated: the gate leaves out the attention as well, since answers do not depend on it.
        by_layer: give what the class token looks at in every layer.
    """

    preset: Preset
    gradient_layer: int
    attention_layers: tuple[int, ...]
    narrowed: bool
    gated: bool
    merged: bool
    packed: bool
    attention_gated: bool
    by_layer: bool


def plan(settings: ExportSettings, layers: int) -> Plan:
    """Resolve settings for a model of that many ``layers``.

    Raises:
        InputError: there is no layer, one does not exist, or a preset is combined with layers of one's own.
    """
    if layers < 1:
        raise InputError("the model has no layers, expected one or more (num_hidden_layers in config.json)")
    own = settings.gradient_layer is not None or settings.attention_layers is not None
    if own and settings.preset != "custom":
        raise InputError(f"preset '{settings.preset}' fixes the layers: choose preset 'custom' to set them")
    last = layers - 1
    gradient, attention = {
        "paper": (0, tuple(range(layers))),
        "late": (last, (last,)),
        "tokenward": (last, (last,)),
        "custom": (settings.gradient_layer or 0, settings.attention_layers or tuple(range(layers))),
    }[settings.preset]
    for layer in (gradient, *attention):
        if not 0 <= layer < layers:
            raise InputError(f"layer {layer} does not exist: the model has layers 0 to {last}")
    gated = settings.preset != "late" if settings.gated is None else settings.gated
    return Plan(
        preset=settings.preset,
        gradient_layer=gradient,
        attention_layers=tuple(sorted(set(attention))),
        narrowed=settings.narrowed,
        gated=gated,
        merged=settings.merged,
        packed=settings.packed and settings.precision != "fp16",
        attention_gated=gated and settings.preset == "tokenward",
        by_layer=settings.preset == "tokenward",
    )
