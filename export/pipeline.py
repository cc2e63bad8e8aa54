"""From a classifier to an artifact: read, discover, assemble, validate, write; nothing is left half-written."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.external_data import load_to_model
from tokenizers import Tokenizer

from ..artifact import GraphInfo, GuardFile, write_guard, writing
from ..checksums import weights_sha256
from ..errors import ExportError, InputError, require
from ..kernels.vocabulary import scored_table
from ..one_label import check_one_label
from ..positions import stated_positions
from .agreement import batches_of, measure_agreement
from .assembly import guard_graph
from .checkpoint import (
    class_names,
    longest_input,
    pad_token,
    purification,
    read_config,
    write_config,
    write_weights,
)
from .discovery import Hints, Layout, discover
from .forward import FAMILIES, export_forward, load_source
from .ground_truth import AutogradTruth, DifferencesTruth, GroundTruth
from .half import sum_in_single, to_half
from .invariance import check_gate
from .onnx_source import model_sha256, read_onnx
from .position import check_last
from .presets import ExportSettings, Plan, plan
from .quantization import cpu_needs_reduced_range, quantize
from .random_texts import RandomTexts
from .session import serving_session
from .tokenizer import padding_token, stated_length, write_tokenizer
from .validation import validate

_PACKAGES = ("tokenward", "torch", "transformers", "onnx-ir")
_STEPS = 4
_DRAWN = ((16, 12), (16, 24), (16, 48))  # batches that are compared where the user gives no texts
_MANY = 20  # classes; more of them, and without names, may be the numbers of a vector
_EXTERNAL_ABOVE = 1 << 30  # bytes of weights; one protobuf file holds less than 2 GiB


Progress = Callable[[str, int, int], None]
"""Told what begins, and which step (from 0) of how many that is."""

Found = Callable[[dict[str, str]], None]
"""Told which parts were found in the graph, in words."""


@dataclass(frozen=True)
class Watch:
    """Who is told how an export goes."""

    progress: Progress | None = None
    found: Found | None = None

    def step(self, what: str, number: int) -> None:
        """Tell that a step begins."""
        if self.progress is not None:
            self.progress(what, number, _STEPS)


@dataclass(frozen=True)
class _Origin:
    """A plain classifier, wherever it came from."""

    model: ir.Model
    family: str
    config: dict[str, Any]
    name: str
    sha256: str
    max_tokens: int
    truth: Callable[[Plan], GroundTruth]
    purification: dict[str, Any] | None = None


def export_classifier(
    model_dir: Path,
    out_dir: Path,
    settings: ExportSettings,
    progress: Progress | None = None,
    *,
    found: Found | None = None,
    tokenizer_dir: Path | None = None,
    texts: Sequence[str] = (),
    with_weights: bool = False,
) -> Path:
    """Export a transformers classifier as an artifact folder and return its path.

    Args:
        tokenizer_dir: folder with the tokenizer, if it is not that of the model.
        texts: clean texts on which a graph of lower precision must agree with fp32; random tokens where there are none.
        with_weights: include the checkpoint's weights, which the engine `torch-cuda` reads.

    Raises:
        InputError: the folder, its tokenizer or a setting cannot be used.
        ExportError: the model cannot be turned into a guarded graph, or the graph differs from the model.
        ArtifactError: ``out_dir`` exists already or cannot be written.
    """
    watch = Watch(progress, found)
    with writing(out_dir) as folder:
        watch.step("loading and tracing the model", 0)
        source = load_source(model_dir)
        config = {**source.module.config.to_dict(), "vocab_size": source.vocabulary}
        tokenizer = write_tokenizer(tokenizer_dir or model_dir, folder, config)
        max_tokens = longest_input(source.max_tokens, stated_length(folder), settings.max_tokens)
        # All are asked for again when the graph is known, but what is wrong here need not wait for the tracer.
        scored_table(tokenizer, source.vocabulary)
        plan(settings, source.module.config.num_hidden_layers)
        class_names(config, source.classes, settings.labels)
        origin = _Origin(
            model=export_forward(source, settings.token_type_ids),
            family=source.family,
            config=config,
            name=model_dir.resolve().name,
            sha256=weights_sha256(model_dir),
            max_tokens=max_tokens,
            truth=lambda chosen: AutogradTruth(source, chosen.gradient_layer),
            purification=purification(model_dir),
        )
        if with_weights:
            write_weights(model_dir, folder)
        _write(origin, tokenizer, folder, settings, Hints(), texts, watch)
    return out_dir


def export_onnx(
    model_path: Path,
    tokenizer_dir: Path,
    out_dir: Path,
    settings: ExportSettings,
    progress: Progress | None = None,
    *,
    found: Found | None = None,
    hints: Hints | None = None,
    texts: Sequence[str] = (),
) -> Path:
    """Export a classifier that comes as an ONNX file; as :func:`export_classifier`.

    Args:
        tokenizer_dir: folder with the tokenizer, and ``config.json`` for class names and the longest input.
        hints: names of parts that discovery cannot tell.
    """
    watch, hints = Watch(progress, found), hints or Hints()
    with writing(out_dir) as folder, tempfile.TemporaryDirectory() as scratch:
        watch.step("reading the model", 0)
        config = read_config(tokenizer_dir)
        tokenizer = write_tokenizer(tokenizer_dir, folder, config)
        known = stated_positions(config.get("max_position_embeddings"))
        max_tokens = longest_input(known, stated_length(folder), settings.max_tokens)
        model = read_onnx(model_path, hints)
        if settings.token_type_ids and not any(value.name == "token_type_ids" for value in model.graph.inputs):
            raise InputError(f"'{model_path}' has no input token_type_ids: leave --token-type-ids out")

        def truth(chosen: Plan) -> GroundTruth:
            plain = read_onnx(model_path, hints)
            return DifferencesTruth(plain, discover(plain.graph, hints), chosen.gradient_layer, Path(scratch))

        origin = _Origin(
            model=model,
            family=str(config.get("model_type", "onnx")),
            config=config,
            name=model_path.name,
            sha256=model_sha256(model_path),
            max_tokens=max_tokens,
            truth=truth,
        )
        _write(origin, tokenizer, folder, settings, hints, texts, watch)
    return out_dir


def _write(
    origin: _Origin,
    tokenizer: Tokenizer,
    folder: Path,
    settings: ExportSettings,
    hints: Hints,
    texts: Sequence[str],
    watch: Watch,
) -> None:
    """Fill an artifact folder that holds the tokenizer already."""
    watch.step("building the guarded graph", 1)
    model = origin.model
    layout = discover(model.graph, hints)
    check_one_label(origin.config.get("problem_type"), layout.classes, origin.name)
    own_padding = padding_token(folder, tokenizer)
    pad_id = pad_token(origin.config, own_padding)
    if watch.found is not None:
        family = origin.family if origin.family in FAMILIES else f"{origin.family} (not tested before)"
        other = (
            {} if own_padding in (None, pad_id) else {"padding": f"token {pad_id}, but the tokenizer's {own_padding}"}
        )
        if layout.classes > _MANY and not (origin.config.get("id2label") or settings.labels):
            other["classes"] = f"{layout.classes} without a name: if these are a vector, export the model with its head"
        watch.found({"family": family, **layout.describe(), **other})
    chosen = plan(settings, len(layout.attention))
    labels = class_names(origin.config, layout.classes, settings.labels)
    table = scored_table(tokenizer, layout.vocabulary)
    drawn = RandomTexts(table, pad_id, origin.max_tokens, _token_types(layout, origin))
    if layout.pooling == "last":
        check_last(model, layout, drawn)

    watch.step("checking it against its source", 2)
    with _full_precision(folder, settings) as full:
        truth = origin.truth(chosen)

        def build(chosen: Plan) -> tuple[ir.Model, dict[str, float], bool]:
            guarded = model.clone()
            packed = guard_graph(guarded, discover(guarded.graph, hints), chosen, table)
            save_graph(guarded, full)
            try:
                return guarded, validate(full, truth, chosen, layout.pooling, drawn), packed
            except ExportError:
                if not packed:
                    raise
                # A model may read what stands in the places of padding, and rely on it to be nothing.
                return build(replace(chosen, packed=False))

        guarded, parity, packed = build(chosen)
        agreement = None
        if settings.precision != "fp32":
            watch.step(f"converting it to {settings.precision}", 3)
            guarded = _lower(model if settings.precision == "fp16" else guarded, chosen, settings, hints, table)
            save_graph(guarded, folder / "model.onnx")
            feeds = batches_of(texts, tokenizer, drawn) if texts else drawn.batches(*_DRAWN)
            agreement = measure_agreement(full, folder / "model.onnx", feeds, table)
            if chosen.gated:
                check_gate(serving_session(folder / "model.onnx"), chosen, drawn, np.inf)
            _check_agreement(agreement, settings)

    write_config({**origin.config, "vocab_size": layout.vocabulary, "pad_token_id": pad_id}, folder, labels)
    guard = GuardFile(
        family=origin.family,
        checkpoint=origin.name,
        checkpoint_sha256=origin.sha256,
        graph=_graph_info(guarded, layout, chosen, settings, origin.max_tokens, packed),
        parity=parity,
        versions=_versions(),
        purification=origin.purification,
        agreement=agreement,
    )
    write_guard(folder, guard, labels)


def save_graph(model: ir.Model, path: Path) -> None:
    """Write a graph; weights go to a file of their own beside it where one protobuf file could not hold them."""
    size = sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value)
    if size > _EXTERNAL_ABOVE:
        ir.save(model, path, external_data=f"{path.name}.data")
    else:
        ir.save(load_to_model(model), path)  # weights that lie beside the source would not come along


@contextmanager
def _full_precision(folder: Path, settings: ExportSettings) -> Iterator[Path]:
    """Yield where the fp32 graph goes: into the artifact, or aside where it only serves as the measure."""
    if settings.precision == "fp32":
        yield folder / "model.onnx"
        return
    with tempfile.TemporaryDirectory(dir=folder) as aside:
        yield Path(aside) / "fp32.onnx"


def _lower(model: ir.Model, chosen: Plan, settings: ExportSettings, hints: Hints, table: NDArray[np.bool_]) -> ir.Model:
    """Quantise a guarded graph, or build one from a plain classifier in half precision."""
    if settings.precision == "int8":
        quantize(model, reduce_range=cpu_needs_reduced_range())
    else:
        guard_graph(model, to_half(model, discover(model.graph, hints)), chosen, table)
        sum_in_single(model)
    return model


def _token_types(layout: Layout, origin: _Origin) -> int:
    """How many token types the graph tells apart; most configurations that name no number mean two."""
    return int(origin.config.get("type_vocab_size") or 2) if layout.token_type_ids is not None else 0


def _versions() -> dict[str, str]:
    """What the export was made with; ONNX Runtime is asked itself, as its package has other names with CUDA."""
    return {name: version(name) for name in _PACKAGES} | {"onnxruntime": require("onnxruntime", "cpu").__version__}


def _check_agreement(agreement: dict[str, float], settings: ExportSettings) -> None:
    if agreement["labels"] < settings.minimum_agreement:
        raise ExportError(
            f"{settings.precision} gives the label of fp32 on {agreement['labels']:.1%} of {agreement['texts']:.0f} "
            f"texts, less than {settings.minimum_agreement:.1%}: keep fp32, or accept it with --min-agreement"
        )


def _graph_info(
    model: ir.Model, layout: Layout, chosen: Plan, settings: ExportSettings, max_tokens: int, packed: bool
) -> GraphInfo:
    return GraphInfo(
        preset=chosen.preset,
        gradient_layer=chosen.gradient_layer,
        attention_layers=chosen.attention_layers,
        pooling=layout.pooling,
        narrowed=chosen.narrowed and layout.pooling == "class",
        gated=chosen.gated,
        precision=settings.precision,
        opset=model.opset_imports[""],
        max_tokens=max_tokens,
        inputs=tuple(str(value.name) for value in model.graph.inputs),
        outputs=tuple(str(value.name) for value in model.graph.outputs),
        packed=packed,
        layers=len(layout.attention),
    )
