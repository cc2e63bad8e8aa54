"""Reads a classifier that comes as an ONNX file, whoever exported it, into the form that the passes work on."""

from __future__ import annotations

import hashlib
import logging
import re
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from ..checksums import file_sha256
from ..errors import ExportError, InputError, first_line, require
from .annotation import annotate
from .axes import BATCH, SEQUENCE
from .branches import settle_branches
from .discovery import Hints
from .emitter import Emitter
from .forward import OPSET
from .names import free_names
from .region import dims
from .registry import has_rule

_OLDEST = 13
_OTHER_PRECISIONS = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE)
_WHOLE_NUMBERS = (ir.DataType.INT64, ir.DataType.INT32)
_QUANTIZED = re.compile("Quantize|Integer|^QLinear|^QAttention|^QGemm|NBits")
_FUSING_DOMAIN = "com.microsoft"
_KNOWN_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def read_onnx(path: Path, hints: Hints) -> ir.Model:
    """Return the model at opset 20 or newer, every value annotated, its inputs and logits under the contract's names.

    Raises:
        InputError: the file is not ONNX, fails the checker, is older than opset 13 or lacks part of its weights.
        ExportError: its inputs are not those of a text classifier, or its shapes are fixed.
    """
    from onnxscript.optimizer import fold_constants

    model = _load(path)
    if model.opset_imports[""] < OPSET:
        model = _upgrade(model, path)
    common.InlinePass()(model)
    fold_constants(model)  # exporters differ in whether they leave axes and sizes to be computed
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    _bound_masked_scores(model.graph)
    common.RemoveUnusedNodesPass()(model)
    _name_inputs(model.graph, hints)
    annotate(model)
    if settle_branches(model):
        annotate(model)
    return model


def model_sha256(path: Path) -> str:
    """One digest of an ONNX file and of the files that hold its weights, where they are not in itself."""
    tensors = (value.const_value for value in ir.load(path).graph.initializers.values())
    files = sorted({str(tensor.path) for tensor in tensors if isinstance(tensor, ir.ExternalTensor)})
    sums = [file_sha256(path), *(file_sha256(Path(file)) for file in files)]
    return sums[0] if len(sums) == 1 else hashlib.sha256("\n".join(sums).encode()).hexdigest()


def _load(path: Path) -> ir.Model:
    onnx = require("onnx", "export")
    if not path.is_file():
        raise InputError(f"no ONNX file at '{path}'")
    try:
        model = ir.load(path)
    except Exception as error:  # protobuf's and the library's own, without a common base
        raise InputError(f"'{path}' is not an ONNX model, or is cut off") from error
    opset = model.opset_imports.get("", 0)
    if not opset:
        raise InputError(f"'{path}' is not an ONNX model, or is cut off")
    if opset < _OLDEST:
        raise InputError(f"'{path}' has opset {opset}, expected {_OLDEST} or newer: export the model again")
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if isinstance(tensor, ir.ExternalTensor):
            needed = (tensor.offset or 0) + (tensor.length or tensor.nbytes)
            if not Path(tensor.path).is_file() or Path(tensor.path).stat().st_size < needed:
                raise InputError(f"'{tensor.path}' is missing or cut off: copy the weights of '{path.name}' again")
    _refuse_altered(model, path)
    try:
        onnx.checker.check_model(str(path))
    except (onnx.checker.ValidationError, RuntimeError) as error:
        raise InputError(f"'{path}' fails the ONNX checker, export it again: {first_line(error)}") from error
    return model


def _refuse_altered(model: ir.Model, path: Path) -> None:
    """Refuse what no longer is the classifier as it was exported; asked first, since it hides most other parts, too."""
    for value in model.graph.initializers.values():
        if value.dtype in _OTHER_PRECISIONS and len(dims(value) or ()) > 1:  # a number may well be double
            raise InputError(
                f"'{path}' holds weights in {value.dtype} ('{value.name}'), expected FLOAT: export the model in single "
                "precision, and ask for half with --precision fp16"
            )
    for node in model.graph.all_nodes():
        if _QUANTIZED.search(node.op_type):
            raise InputError(
                f"'{path}' is quantised already (node '{node.name}' is {node.op_type}): give the model in single "
                "precision, and ask for --precision int8"
            )
        if node.domain.startswith(_FUSING_DOMAIN) and not has_rule(node):
            raise InputError(
                f"'{path}' was optimised by ONNX Runtime (node '{node.name}' is the fused op {node.op_type}): give the "
                "graph that was optimised, or export the model again unoptimised, with eager attention"
            )


def _upgrade(model: ir.Model, path: Path) -> ir.Model:
    from onnxscript import version_converter

    logging.getLogger("onnxscript").setLevel(logging.ERROR)  # it announces which of its two converters it takes
    try:
        version_converter.convert_version(model, OPSET, fallback=True)
    except Exception as error:  # the converter's C++ errors have no common base
        raise ExportError(f"'{path}' cannot be brought to opset {OPSET}: export it again at opset {OPSET}") from error
    if model.opset_imports.get("", 0) < OPSET:
        raise ExportError(f"'{path}' cannot be brought to opset {OPSET}: export it again at opset {OPSET}")
    return model


def _bound_masked_scores(graph: ir.Graph) -> None:
    """Keep softmaxes of fully masked rows from being NaN, where an exporter repairs them behind the softmax.

    ``Where(IsNaN(p), 0, p)`` gives finite answers but no finite gradient. Scores bounded from below need no repair; the
    rows concerned are those of padding, which nothing reads.
    """
    op = Emitter(graph, prefix="bounded")
    for node in [
        n for n in graph if n.op_type == "Softmax" and any(u.node.op_type == "IsNaN" for u in n.outputs[0].uses())
    ]:
        scores, weights = node.inputs[0], node.outputs[0]
        weights.dtype = ir.DataType.FLOAT
        node.replace_input_with(0, op.Max(scores, np.array(np.finfo(np.float32).min)).value)
        for repair in [use.node for use in weights.uses() if use.node.op_type == "Where" and use.idx == 2]:
            repair.outputs[0].replace_all_uses_with(weights)
    graph.sort()


def _name_inputs(graph: ir.Graph, hints: Hints) -> None:
    """Give the inputs the contract's names, and their axes the names batch and sequence."""
    given = {hints.input_ids: "input_ids", hints.attention_mask: "attention_mask"}
    weights = set(graph.initializers)
    graph.inputs[:] = [value for value in graph.inputs if value.name not in weights]
    names = [str(value.name) for value in graph.inputs]
    for name, meant in given.items():
        if name is not None and name not in names:
            raise ExportError(
                f"the graph has no input '{name}', only {', '.join(names)}: say which holds {meant} with "
                f"--{meant.replace('_', '-')}"
            )
    free_names(graph, _KNOWN_INPUTS)
    for value in graph.inputs:
        value.name = given.get(value.name, value.name)
        if value.name not in _KNOWN_INPUTS:
            raise ExportError(
                f"input '{value.name}' is unknown, expected {', '.join(_KNOWN_INPUTS)}: "
                "say which it is with --input-ids or --attention-mask, or export without it"
            )
        if value.dtype not in _WHOLE_NUMBERS:
            raise ExportError(f"input '{value.name}' is {value.dtype}, expected INT64 or INT32: export the model again")
        if value.shape is None or value.shape.rank() != 2 or any(isinstance(dim, int) for dim in value.shape):
            raise ExportError(
                f"input '{value.name}' has shape {value.shape}, expected two free axes: export with dynamic axes"
            )
        value.shape = ir.Shape([BATCH, SEQUENCE])
        if value.dtype != ir.DataType.INT64:
            _widen(graph, value)


def _widen(graph: ir.Graph, value: ir.Value) -> None:
    """Make an input int64, as the contract has it, for a graph that reads shorter numbers."""
    narrow, value.dtype = value.dtype, ir.DataType.INT64
    readers = list(value.uses())
    cast = Emitter(graph, prefix="source").Cast(value, to=narrow).value
    for node, i in readers:
        node.replace_input_with(i, cast)
    graph.sort()
