"""The plain forward pass of a transformers sequence classifier as an ONNX graph with dynamic batch and sequence."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor, nn

from ..errors import ExportError, InputError, first_line, require
from ..one_label import check_one_label
from ..positions import stated_positions, table_positions
from ..weight_files import INDEX, SINGLE, weight_files
from .checkpoint import read_config

OPSET = 20

# Model types with a parity test of their own. Others are exported, too, and validated like any export.
FAMILIES = (
    *("bert", "roberta", "xlm-roberta", "distilbert", "albert", "electra"),
    *("deberta", "deberta-v2", "mpnet", "modernbert", "gpt2"),
)
# Tables that older checkpoints store beside their weights; today's models make them.
_MADE_BY_MODELS = re.compile(
    r"(^|\.)(position_ids|token_type_ids|(original_)?inv_freq|masked_bias|(attn|attention|attn\.attention)\.bias)$"
)
# An odd shape: a dimension baked in by mistake cannot equal one of the model's. A model may read fewer tokens.
_TEXTS, _TOKENS = 3, 11


@dataclass(frozen=True)
class SourceModel:
    """A PyTorch classifier loaded from a checkpoint folder, in float32 and evaluation mode.

    Attributes:
        classes: number of logits.
        max_tokens: longest sequence its position embeddings allow.
        vocabulary: rows of the word-embedding table.
    """

    module: Any
    family: str
    classes: int
    max_tokens: int
    vocabulary: int


def load_source(model_dir: Path) -> SourceModel:
    """Load a sequence classifier from safetensors, without remote code, with eager attention.

    Raises:
        InputError: the folder is missing, holds pickled weights only, or is not a trained sequence classifier.
    """
    transformers = require("transformers", "export")
    _check_folder(model_dir)
    try:
        with quiet():
            module, report = transformers.AutoModelForSequenceClassification.from_pretrained(
                model_dir,
                attn_implementation="eager",
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # to name them ourselves
            )
    except Exception as error:  # the library's and its readers' errors share no base class
        raise InputError(f"cannot load '{model_dir}' as a sequence classifier: {first_line(error)}") from error
    for name, stored, expected in sorted(report["mismatched_keys"]):
        raise InputError(
            f"'{model_dir}' holds {name} of shape {list(stored)}, expected {list(expected)}: config.json is not "
            "that of these weights"
        )
    missing = sorted(report["missing_keys"])
    if missing:
        raise InputError(
            f"'{model_dir}' has no weights for {missing[0]} ({len(missing)} missing): expected a trained classifier"
        )
    _check_unused(module, report["unexpected_keys"], model_dir)
    module.eval()
    config = module.config
    check_one_label(config.problem_type, config.num_labels, model_dir)
    if getattr(config, "attention_type", None) == "block_sparse":
        raise InputError(
            f"'{model_dir}' attends to blocks (attention_type block_sparse), which cannot be traced: "
            'set "attention_type": "original_full" in config.json'
        )
    return SourceModel(module, config.model_type, config.num_labels, *_limits(module, model_dir))


def _check_unused(module: Any, names: Sequence[str], model_dir: Path) -> None:
    """Refuse weights that would be left out of the layers or of the head: the folder is then of another model.

    Others, such as those of an earlier task's head, are no part of a classifier.
    """
    base = module.base_model_prefix
    own = [name for name, _ in module.named_parameters()]
    heads = {name.partition(".")[0] for name in own} - {base}
    # The part of the encoder that its layers are in: bert.encoder of bert.encoder.layer.0, transformer.h of GPT-2.
    stacks = {
        ".".join(name.split(".")[:2]) for name in own if name.startswith(f"{base}.") and re.search(r"\.\d+\.", name)
    }
    for name in sorted(names):
        if _MADE_BY_MODELS.search(name):
            continue
        if name.partition(".")[0] in heads or ".".join(name.split(".")[:2]) in stacks:
            raise InputError(
                f"'{model_dir}' holds {name}, which a {module.config.model_type} classifier of its config.json has no "
                "place for: config.json is not that of these weights"
            )


def _limits(module: Any, model_dir: Path) -> tuple[int, int]:
    """Longest sequence and size of the vocabulary, of a model that has both and one stack of layers."""
    family = module.config.model_type
    if getattr(module.config, "is_encoder_decoder", False) or hasattr(module, "decoder"):
        raise InputError(f"'{model_dir}' is a {family} model, an encoder with a decoder: expected one stack of layers")
    try:
        vocabulary = module.get_input_embeddings().num_embeddings
    except (AttributeError, NotImplementedError):
        raise InputError(f"'{model_dir}' is a {family} model, which has no table of word embeddings") from None
    most = table_positions(module)
    if most is None:
        most = stated_positions(getattr(module.config, "max_position_embeddings", None))
    if most is None:
        raise InputError(
            f"'{model_dir}' is a {family} model, which states no longest input (max_position_embeddings): such models "
            "are not supported"
        )
    return most, vocabulary


def export_forward(source: SourceModel, token_type_ids: bool = False) -> ir.Model:
    """Trace the classifier into a graph ``input_ids, attention_mask[, token_type_ids] -> logits``.

    Raises:
        ExportError: the tracer cannot follow the model, or the model takes no token types.
    """
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if token_type_ids else [])]
    types = getattr(source.module.config, "type_vocab_size", None) or 0
    if token_type_ids and types < 2:
        known = "knows one token type" if types else "takes no token_type_ids"
        raise ExportError(f"this {source.family} model {known}: leave --token-type-ids out")
    width = min(_TOKENS, source.max_tokens - 1)  # the whole table of positions would be baked in
    ids = torch.randint(0, source.vocabulary, (_TEXTS, width), generator=torch.Generator().manual_seed(0))
    padding = getattr(source.module.config, "pad_token_id", None)
    if padding is not None:
        ids[ids == padding] = (padding + 1) % source.vocabulary
    mask = torch.ones_like(ids)
    mask[1, (width + 1) // 2 :] = 0
    example = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")}
    try:
        with quiet():
            program = torch.onnx.export(
                _Logits(source.module, names),
                tuple(example[name] for name in names),
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes=(tuple(axes for _ in names),),
                input_names=names,
                output_names=["logits"],
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        reason = first_line(error.__cause__ or error)
        if padding is None and "padding token" in reason:
            raise ExportError(
                f"this {source.family} model finds the last token of a text by what follows it, but config.json names "
                "no pad_token_id: add the number of the token that it was trained to be padded with"
            ) from error
        raise ExportError(f"PyTorch cannot trace this {source.family} model: {reason}") from error
    assert program is not None
    model: ir.Model = program.model
    return model


class _Logits(nn.Module):
    """The classifier with positional inputs in a fixed order and the logits as its only output."""

    def __init__(self, module: Any, names: list[str]) -> None:
        super().__init__()
        self.module = module
        self.names = names

    def forward(self, *inputs: Tensor) -> Tensor:
        # A cache would make a decoder's keys and values outputs of the trace.
        extra = {"use_cache": False} if hasattr(self.module.config, "use_cache") else {}
        logits: Tensor = self.module(**dict(zip(self.names, inputs, strict=True)), **extra).logits
        return logits


def _check_folder(model_dir: Path) -> None:
    if (model_dir / "adapter_config.json").is_file():
        raise InputError(
            f"'{model_dir}' holds an adapter: merge it into the weights that it is for, and save those, "
            "model.merge_and_unload().save_pretrained(folder)"
        )
    if not (model_dir / "config.json").is_file():
        raise InputError(f"no model at '{model_dir}': expected a folder with config.json and model.safetensors")
    if not any((model_dir / name).is_file() for name in (SINGLE, INDEX)):
        if any(model_dir.glob("*.bin")):
            raise InputError(
                f"'{model_dir}' holds pickled weights (.bin), which can run code when read: convert them where you "
                "trust them, with model.save_pretrained(folder) of transformers 4.35 or later"
            )
        raise InputError(f"no weights in '{model_dir}': expected model.safetensors")
    weight_files(model_dir)  # tells what is wrong with an index, or a pointer, better than the loader
    config = read_config(model_dir)
    if config.get("transformers_weights"):
        raise InputError(
            f"'{model_dir}' names its weights by hand (transformers_weights in config.json): rename them to {SINGLE} "
            "and remove that line"
        )
    code = config.get("auto_map")
    if isinstance(code, dict) and "AutoModelForSequenceClassification" in code:
        raise InputError(
            f"'{model_dir}' is a classifier with code of its own (auto_map in config.json), which is never run: export "
            "it to ONNX where you trust it, and give that file"
        )
    stated = config.get("architectures")
    names = [str(name) for name in stated if name] if isinstance(stated, list) else []
    if not any(name.endswith("ForSequenceClassification") for name in names):
        found = ", ".join(names) or "nothing"
        raise InputError(
            f"'{model_dir}' is not a sequence classifier: config.json names {found}, train a classifier first"
        )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the tracer's and the loader's chatter, which hides our own progress; errors still come as exceptions."""
    loggers = [logging.getLogger(name) for name in ("torch", "torch.onnx", "onnxscript", "transformers")]
    levels = [logger.level for logger in loggers]
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
