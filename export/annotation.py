"""Annotates every value of a classifier with its type and its shape in terms of batch and sequence.

Exporters differ in what they annotate, and in how they call the axes. Here the graph is run at three sizes instead, and
each axis is read off the three results, which also finds folded axes such as heads times batch.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx_ir as ir

from ..errors import ExportError, first_line, require
from .axes import BATCH, SEQUENCE
from .region import Dim

# Primes, which no axis of a model is likely to be a multiple of by chance.
_SMALL, _MORE_TEXTS, _MORE_TOKENS = (2, 7), (3, 7), (2, 11)


def annotate(model: ir.Model) -> None:
    """Set dtype and shape of all values outside subgraphs; axes that follow neither size alone stay unknown.

    Raises:
        ExportError: the graph does not run at some size, so its shapes are fixed.
    """
    graph = model.graph
    outputs = list(graph.outputs)
    values = [value for node in graph for value in node.outputs if value.name]
    graph.outputs.extend(value for value in values if value not in set(outputs))
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "probe.onnx"
            ir.save(model, path, external_data="probe.data")
            runs = _run(path, [str(value.name) for value in values])
    finally:
        graph.outputs[:] = outputs
    for value, small, texts, tokens in zip(values, *runs, strict=True):
        value.dtype = ir.DataType.from_numpy(small.dtype)
        sizes = zip(small.shape, texts.shape, tokens.shape, strict=True)
        value.shape = ir.Shape([_axis(*three) for three in sizes])


def _run(path: Path, names: list[str]) -> list[list[np.ndarray]]:
    ort = require("onnxruntime", "cpu")
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    runs = []
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for size in (_SMALL, _MORE_TEXTS, _MORE_TOKENS):
            # Every model has token 1 and reads some tokens, but some know token type 0 alone.
            feed = {
                value.name: np.full(size, int(value.name != "token_type_ids"), np.int64)
                for value in session.get_inputs()
            }
            runs.append(session.run(names, feed))
    except Exception as error:  # the library's errors share no base class
        reason = first_line(error).split(" : ")[-1]
        raise ExportError(f"the graph does not run on texts of different number and length: {reason}") from error
    return runs


def _axis(small: int, texts: int, tokens: int) -> Dim:
    """Name an axis by its sizes at the three sizes of the input."""
    if small == texts == tokens:
        return small
    for symbol, sizes in (
        (BATCH, (2, 3, 2)),
        (SEQUENCE, (7, 7, 11)),
        (f"{BATCH}*{SEQUENCE}", (14, 21, 22)),
    ):
        factor, rest = divmod(small, sizes[0])
        if rest == 0 and tuple(factor * size for size in sizes) == (small, texts, tokens):
            return symbol if factor == 1 else f"{factor}*{symbol}"
    # Such as 2·sequence − 1: the same sizes are the same axis.
    return f"size_{small}_{texts}_{tokens}"
