"""Finds the logits of a classifier, also where its graph goes on to turn them into probabilities."""

from __future__ import annotations

import onnx_ir as ir

from ..errors import ExportError
from .axes import BATCH
from .region import dims, retyped_from

_TO_PROBABILITIES = ("Softmax", "LogSoftmax")


def find_logits(graph: ir.Graph, name: str | None) -> ir.Value:
    """Return the logits [batch, classes]: the output called ``name``, or what it is the softmax of.

    Scores and gradients are those of logits: taken of probabilities they would be others.

    Raises:
        ExportError: no output or several may be meant, or the output is not one label out of several classes.
    """
    output = _output(graph, name)
    _check_shape(output, output)
    last = retyped_from(output)
    node = None if last is None else last.producer()
    if node is None or node.op_type not in (*_TO_PROBABILITIES, "Sigmoid"):
        return output
    if node.op_type == "Sigmoid":
        raise ExportError(
            f"output '{output.name}' is a sigmoid, as of several labels at once: expected one label out of several"
        )
    logits = node.inputs[0]
    assert logits is not None
    _check_shape(logits, output)
    return logits


def left_out(logits: ir.Value) -> str:
    """What stands behind the ``logits`` of a graph and is not taken over, in words; empty where nothing does."""
    ends = [node.op_type for node, _ in logits.uses() if node.op_type in _TO_PROBABILITIES]
    return f" (its {ends[0]} is left out)" if ends else ""


def _output(graph: ir.Graph, name: str | None) -> ir.Value:
    names = ", ".join(str(value.name) for value in graph.outputs)
    if not names:
        raise ExportError("the graph has no outputs: export the model again, with its logits as output")
    named = [value for value in graph.outputs if value.name == (name or "logits")]
    if name and not named:
        raise ExportError(f"the graph has no output '{name}', only {names}: name one of them with --logits")
    candidates = named or list(graph.outputs)
    if len(candidates) != 1:
        raise ExportError(f"cannot tell which output holds the logits among {names}: name it with --logits")
    return candidates[0]


def _check_shape(logits: ir.Value, output: ir.Value) -> None:
    shape = dims(logits)
    if shape is None or len(shape) != 2 or shape[0] != BATCH or not isinstance(shape[1], int) or shape[1] < 2:
        raise ExportError(
            f"output '{output.name}' has shape {logits.shape}, expected [batch, classes] of a sequence classifier"
        )
