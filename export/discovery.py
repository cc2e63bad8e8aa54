"""Finds in any ONNX text classifier what a guarded graph needs: embeddings, attention, logits, pooling, axes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

from ..artifact import Pooling
from ..errors import ExportError
from .attention import AttentionLayer, find_attention
from .axes import BATCH, SEQUENCE, has_sequence
from .branches import choosing
from .head import find_logits, left_out
from .region import constant, dims, retyped_from


@dataclass(frozen=True)
class Hints:
    """Names that the user gives where a graph does not tell them itself; None lets discovery decide."""

    input_ids: str | None = None
    attention_mask: str | None = None
    logits: str | None = None
    embedding: str | None = None


@dataclass(frozen=True)
class Layout:
    """What was found in a graph.

    Attributes:
        input_ids, attention_mask: int64 inputs [batch, sequence].
        token_type_ids: the same, None where the graph has no such input.
        logits: float [batch, classes]; an output, or what its softmax was taken of.
        table: the word-embedding table [vocabulary, width].
        embedding: its output, before positions and types are added, [batch, sequence, width].
        attention: layers in forward order.
        pooling: which positions the classifier reads.
        pooled: the node that reads them; None where several do.
    """

    input_ids: ir.Value
    attention_mask: ir.Value
    token_type_ids: ir.Value | None
    logits: ir.Value
    table: ir.Value
    embedding: ir.Value
    attention: tuple[AttentionLayer, ...]
    pooling: Pooling
    pooled: ir.Node | None

    @property
    def vocabulary(self) -> int:
        """Rows of the word-embedding table."""
        return _size(self.table, 0)

    @property
    def classes(self) -> int:
        """Number of logits."""
        return _size(self.logits, 1)

    def describe(self) -> dict[str, str]:
        """What was found, in words, for people to check."""
        first = self.attention[0]
        pooling = "max" if self.pooled and self.pooled.op_type == "ReduceMax" else self.pooling
        return {
            "inputs": ", ".join(str(v.name) for v in (self.input_ids, self.attention_mask, self.token_type_ids) if v),
            "word embeddings": f"{self.embedding.name} (table {self.table.name}, {self.vocabulary} rows)",
            "attention": f"{len(self.attention)} × {first.heads} heads, first softmax {first.softmax.name}",
            "pooling": f"{pooling} ({self.pooled.op_type})" if self.pooled else pooling,
            "logits": f"{self.logits.name}, {self.classes} classes{left_out(self.logits)}",
        }


def discover(graph: ir.Graph, hints: Hints | None = None) -> Layout:
    """Find the parts of a classifier whose inputs carry the contract's names, and its axes batch and sequence.

    Raises:
        ExportError: a part is missing or ambiguous, or the graph fixes its shapes; the message says which.
    """
    hints = hints or Hints()
    ids, mask = _input(graph, "input_ids"), _input(graph, "attention_mask")
    assert ids is not None
    assert mask is not None
    for value in (ids, mask):
        if dims(value) != (BATCH, SEQUENCE):
            raise ExportError(
                f"input '{value.name}' has shape {value.shape}, expected two free axes [batch, sequence]: "
                "export the model again with dynamic axes"
            )
    logits = find_logits(graph, hints.logits)
    lookup = _lookup(graph, ids, hints.embedding)
    table, embedding = lookup.inputs[0], _embedding(lookup)
    assert table is not None
    path = nodes_between(graph, embedding, logits)
    pooling, pooled = _pooling(path)
    return Layout(
        input_ids=ids,
        attention_mask=mask,
        token_type_ids=_input(graph, "token_type_ids", needed=False),
        logits=logits,
        table=table,
        embedding=embedding,
        attention=find_attention(embedding, path),
        pooling=pooling,
        pooled=pooled,
    )


def nodes_between(graph: ir.Graph, start: ir.Value, end: ir.Value) -> list[ir.Node]:
    """Nodes on a path of float values from ``start`` to ``end``, in forward order."""
    reached = {start}
    forward = []
    for node in graph:
        if any(value in reached for value in node.inputs):
            smooth = [value for value in node.outputs if value.dtype is not None and value.dtype.is_floating_point()]
            reached.update(smooth)
            if smooth:
                forward.append(node)
    needed, path = {end}, []
    for node in reversed(forward):
        if any(value in needed for value in node.outputs):
            needed.update(value for value in node.inputs if value in reached)
            path.append(node)
    if end not in reached:
        choice = choosing(graph, reached)
        if choice is not None:
            raise ExportError(
                f"node '{choice.name}' ({choice.op_type}) chooses by the texts how to go on from the word embeddings: "
                "write the model without that choice, or export it with dynamo=True, and give that file"
            )
        raise ExportError(f"the logits '{end.name}' do not depend on the word embeddings '{start.name}'")
    return path[::-1]


def _input(graph: ir.Graph, name: str, needed: bool = True) -> ir.Value | None:
    for value in graph.inputs:
        if value.name == name:
            return value
    if needed:
        names = ", ".join(str(value.name) for value in graph.inputs)
        raise ExportError(f"the graph has no input '{name}', only {names}: export the model with it")
    return None


def _lookup(graph: ir.Graph, ids: ir.Value, name: str | None) -> ir.Node:
    """Find the Gather from a constant table by the token ids themselves."""
    found = [
        node
        for node in graph
        if node.op_type == "Gather" and _is_table(node.inputs[0]) and retyped_from(node.inputs[1]) is ids
    ]
    if name is not None:
        found = [node for node in found if node.outputs[0].name == name]
    if not found:
        wanted = f"called '{name}'" if name else f"from a constant table by '{ids.name}'"
        raise ExportError(f"found no word embeddings: expected a Gather {wanted}")
    if len(found) > 1:
        names = ", ".join(str(node.outputs[0].name) for node in found)
        raise ExportError(f"the token ids are looked up in several tables, {names}: choose one with --embedding")
    return found[0]


def _embedding(lookup: ir.Node) -> ir.Value:
    """Return what was looked up as [batch, sequence, width], also where the tokens of all texts stood in one row."""
    value = lookup.outputs[0]
    reshaped = [node.outputs[0] for node, _ in value.uses() if node.op_type == "Reshape"]
    if len(dims(value) or ()) == 2 and len(value.uses()) == len(reshaped) == 1:
        (value,) = reshaped
    if (dims(value) or ())[:2] != (BATCH, SEQUENCE):
        raise ExportError(
            f"the word embeddings '{value.name}' have shape {value.shape}, expected [batch, sequence, width]: look the "
            "tokens up as they are given, and export the model again"
        )
    return value


def _is_table(value: ir.Value | None) -> bool:
    return value is not None and ir.convenience.get_const_tensor(value) is not None and len(dims(value) or ()) == 2


def _pooling(path: list[ir.Node]) -> tuple[Pooling, ir.Node | None]:
    """Classify the node at which the sequence axis goes."""
    pools = list(_frontier(path))
    if len(pools) != 1:
        return "mean", None
    (node,) = pools
    if node.op_type in ("Gather", "Slice"):
        position = constant(node.inputs[1])
        if position is None:
            return "last", node
        if position.size == 1 and int(position.item()) == 0 and _reads_one(node):
            return "class", node
        raise ExportError(
            f"node '{node.name}' reads fixed positions other than the first alone: such heads are not supported"
        )
    return ("last" if node.op_type in ("GatherND", "GatherElements") else "mean"), node


def _reads_one(node: ir.Node) -> bool:
    """Whether no axis of the output runs over several tokens where one of the input runs over all."""
    tokens = node.inputs[0]
    assert tokens is not None
    before, after = dims(tokens) or (), dims(node.outputs[0]) or ()
    return node.op_type == "Gather" or all(
        size == 1 for axis, size in zip(before, after, strict=True) if axis == SEQUENCE
    )


def _frontier(path: list[ir.Node]) -> Iterator[ir.Node]:
    on_path = {value for node in path for value in node.outputs}
    for node in path:
        from_tokens = any(v is not None and v in on_path and has_sequence(v) for v in node.inputs)
        if from_tokens and not has_sequence(node.outputs[0]):
            yield node


def _size(value: ir.Value, axis: int) -> int:
    size = (dims(value) or ())[axis]
    assert isinstance(size, int), f"axis {axis} of {value.name} is not fixed"
    return size
