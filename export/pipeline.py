"""From a checkpoint folder to an artifact: trace, discover, assemble, validate, write; nothing is left half-written."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import onnx_ir as ir

from ..artifact import GraphInfo, GuardFile, weights_sha256, write_guard, writing
from ..errors import InputError
from ..kernels.vocabulary import scored_table
from .assembly import guard_graph
from .checkpoint import class_names, purification, write_config, write_tokenizer
from .discovery import Layout, discover
from .forward import OPSET, export_forward, load_source
from .ground_truth import AutogradTruth
from .presets import ExportSettings, Plan, plan
from .validation import validate

Progress = Callable[[str, int, int], None]
"""Told what happens next, and which step of how many that is."""

_STEPS = ("loading the model", "tracing it", "building the guarded graph", "writing it", "checking it against PyTorch")
_PACKAGES = ("tokenward", "torch", "transformers", "onnx-ir", "onnxruntime")
_EXTERNAL_ABOVE = 1 << 30  # bytes of weights; one protobuf file holds less than 2 GiB


def export_classifier(
    model_dir: Path, out_dir: Path, settings: ExportSettings, progress: Progress | None = None
) -> Path:
    """Export a transformers classifier as an artifact folder and return its path.

    Raises:
        InputError: the folder, its tokenizer or a setting cannot be used.
        ExportError: the model cannot be turned into a guarded graph, or the graph differs from the model.
        ArtifactError: ``out_dir`` exists already or cannot be written.
    """
    if settings.precision != "fp32":
        raise InputError("only precision fp32 can be exported so far")
    tell = _teller(progress)
    with writing(out_dir) as folder:
        tell()
        source = load_source(model_dir)
        config = source.module.config.to_dict()
        labels = class_names(config, source.classes, settings.labels)
        max_tokens = _max_tokens(settings, source.max_tokens)
        table = scored_table(write_tokenizer(model_dir, folder), source.vocabulary)
        tell()
        model = export_forward(source, settings.token_type_ids)
        tell()
        layout = discover(model.graph)
        chosen = plan(settings, len(layout.attention))
        guard_graph(model, layout, chosen, table)
        tell()
        save_graph(model, folder / "model.onnx")
        tell()
        pad_id = config.get("pad_token_id") or 0
        parity = validate(
            folder / "model.onnx",
            AutogradTruth(source, chosen.gradient_layer),
            chosen,
            layout.pooling,
            table,
            pad_id,
            max_tokens,
        )
        write_config({**config, "vocab_size": source.vocabulary, "pad_token_id": pad_id}, folder, labels)
        guard = GuardFile(
            family=source.family,
            checkpoint=model_dir.resolve().name,
            checkpoint_sha256=weights_sha256(model_dir),
            graph=_graph_info(model, layout, chosen, settings, max_tokens),
            parity=parity,
            versions={name: version(name) for name in _PACKAGES},
            purification=purification(model_dir),
        )
        write_guard(folder, guard, labels)
    return out_dir


def save_graph(model: ir.Model, path: Path) -> None:
    """Write a graph; weights go to a file of their own beside it where one protobuf file could not hold them."""
    size = sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value)
    ir.save(model, path, external_data=f"{path.name}.data" if size > _EXTERNAL_ABOVE else None)


def _graph_info(model: ir.Model, layout: Layout, chosen: Plan, settings: ExportSettings, max_tokens: int) -> GraphInfo:
    return GraphInfo(
        preset=chosen.preset,
        gradient_layer=chosen.gradient_layer,
        attention_layers=chosen.attention_layers,
        pooling=layout.pooling,
        narrowed=chosen.narrowed and layout.pooling == "class",
        gated=chosen.gated,
        precision=settings.precision,
        opset=OPSET,
        max_tokens=max_tokens,
        inputs=tuple(str(value.name) for value in model.graph.inputs),
        outputs=tuple(str(value.name) for value in model.graph.outputs),
    )


def _max_tokens(settings: ExportSettings, limit: int) -> int:
    if settings.max_tokens is None:
        return limit
    if not 3 <= settings.max_tokens <= limit:
        raise InputError(f"the model reads at most {limit} tokens: choose a maximum from 3 to {limit}")
    return settings.max_tokens


def _teller(progress: Progress | None) -> Callable[[], None]:
    steps = iter(enumerate(_STEPS))

    def tell() -> None:
        step, what = next(steps)
        if progress is not None:
            progress(what, step, len(_STEPS))

    return tell
