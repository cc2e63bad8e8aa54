"""The graphs that `bench.graph` times: every preset and precision of one checkpoint, or one artifact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..artifact import Artifact, Preset
from ..export.assembly import finish, guard_graph
from ..export.discovery import discover
from ..export.forward import SourceModel, export_forward, load_source
from ..export.half import sum_in_single, to_half
from ..export.narrowing import narrow
from ..export.pipeline import save_graph
from ..export.presets import ExportSettings, Precision, plan
from ..export.quantization import cpu_needs_reduced_range, quantize
from ..export.tokenizer import write_tokenizer
from ..kernels.vocabulary import scored_table
from ..runtime.engine import ALWAYS_SKIP, NEVER_SKIP
from ..runtime.tokenization import Tokenizer

PRESETS: tuple[Preset, ...] = ("paper", "late", "tokenward")


@dataclass(frozen=True)
class Variant:
    """A guarded graph run in one way.

    Attributes:
        gate: value of the gate; None for a threshold that only scores of texts can tell.
    """

    name: str
    path: Path
    gate: float | None


@dataclass(frozen=True)
class Subject:
    """A classifier in all the forms that are timed.

    Attributes:
        plain, narrowed: the forward pass alone, whole and cut down to the class token.
    """

    plain: Path
    narrowed: Path
    variants: tuple[Variant, ...]
    tokenizer: Tokenizer
    vocabulary: int


def of_checkpoint(checkpoint: Path, folder: Path, precisions: Sequence[Precision]) -> Subject:
    """Build every preset's graph in every precision from one trace, into ``folder``.

    Raises:
        InputError, ExportError: as :func:`~tokenward.export.pipeline.export_classifier`.
    """
    source = load_source(checkpoint)
    traced = export_forward(source)
    table = scored_table(write_tokenizer(checkpoint, folder), source.vocabulary)
    variants: list[Variant] = []
    for preset in PRESETS:
        for precision in precisions:
            path = folder / f"{preset}-{precision}.onnx"
            write_graph(traced, preset, precision, table, path)
            variants += _ways(f"{preset} {precision}", preset, path)
    for without, one_pass in {"padded": {"packed": False}, "apart": {"merged": False}}.items():
        for precision in precisions:
            path = folder / f"{without}-{precision}.onnx"
            write_graph(traced, "tokenward", precision, table, path, **one_pass)
            variants.append(Variant(f"tokenward {precision}, {without}", path, ALWAYS_SKIP))
    plain, narrowed = _yardsticks(traced, folder)
    return Subject(plain, narrowed, tuple(variants), _tokenizer(source, folder), source.vocabulary)


def of_artifact(artifact: Artifact, checkpoint: Path, folder: Path) -> Subject:
    """An artifact's own graph, beside the forward pass of the checkpoint that it was exported from."""
    source = load_source(checkpoint)
    write_tokenizer(checkpoint, folder)
    graph = artifact.guard.graph
    variants = _ways(f"{graph.preset} {graph.precision}", graph.preset, artifact.model_path)
    return Subject(
        *_yardsticks(export_forward(source), folder), tuple(variants), _tokenizer(source, folder), source.vocabulary
    )


def write_graph(
    traced: ir.Model,
    preset: Preset,
    precision: Precision,
    table: NDArray[np.bool_],
    path: Path,
    *,
    packed: bool = True,
    merged: bool = True,
) -> None:
    """Build a preset's graph from a trace, which stays as it is, without the checks of an export."""
    model = traced.clone()
    layout = discover(model.graph)
    if precision == "fp16":
        layout = to_half(model, layout)
    settings = ExportSettings(preset, precision=precision, packed=packed, merged=merged)
    guard_graph(model, layout, plan(settings, len(layout.attention)), table)
    if precision == "fp16":
        sum_in_single(model)
    if precision == "int8":
        quantize(model, reduce_range=cpu_needs_reduced_range())
    save_graph(model, path)


def _ways(name: str, preset: Preset, path: Path) -> list[Variant]:
    """How a preset's graph is run: what serving asks of it, and the dearest that it may ask."""
    if preset == "tokenward":
        return [Variant(f"{name}, forward", path, ALWAYS_SKIP)]
    every = Variant(f"{name}, every row", path, NEVER_SKIP)
    return [every] if preset == "late" else [every, Variant(f"{name}, gated", path, None)]


def _yardsticks(traced: ir.Model, folder: Path) -> tuple[Path, Path]:
    plain, narrowed = folder / "plain.onnx", folder / "narrowed.onnx"
    save_graph(traced, plain)
    narrow(traced.graph, discover(traced.graph))
    finish(traced)
    save_graph(traced, narrowed)
    return plain, narrowed


def _tokenizer(source: SourceModel, folder: Path) -> Tokenizer:
    pad_id: Any = source.module.config.pad_token_id
    return Tokenizer(folder / "tokenizer.json", source.max_tokens, source.vocabulary, pad_id or 0)
