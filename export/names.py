"""Names that the contract gives a meaning must be free in the graph of whoever exported the classifier."""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

from .emitter import Emitter

GATE = "gate"
OUTPUTS = (
    *("logits", "class_attention", "class_attention_by_layer", "attention_received", "saliency", "token_scores"),
    *("anomaly_score", "suspect", "scored"),
)


def free_names(graph: ir.Graph, names: Collection[str]) -> None:
    """Rename values of ``graph`` and of the graphs inside it that carry one of ``names``, except its inputs."""
    op = Emitter(graph, prefix="source")
    inner = list(graph.subgraphs())
    values = [value for part in (graph, *inner) for value in part.initializers.values()]
    values += [value for node in graph.all_nodes() for value in node.outputs]
    values += [value for part in inner for value in part.inputs]
    for value in values:
        if value.name and value.name in names and not (value.is_graph_input() and value.graph is graph):
            value.name = op.name(value.name)
