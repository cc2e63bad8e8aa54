"""Takes out choices that are none: the older exporter asks a graph whether an axis is of length 1 before it goes."""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir
from onnx_ir.passes import common


def settle_branches(model: ir.Model) -> bool:
    """Put in place of each ``If`` the branch that it takes whatever the texts, by the shapes that are annotated.

    What comes in is not annotated.

    Returns:
        Whether the graph had any choice, taken out or not.
    """
    from onnxscript.optimizer import fold_constants

    if not any(node.op_type == "If" for node in model.graph):
        return False
    fold_constants(model)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    common.RemoveUnusedNodesPass()(model)
    return True


def choosing(graph: ir.Graph, values: Collection[ir.Value]) -> ir.Node | None:
    """The first ``If`` left that reads one of these values in a branch."""
    for node in graph:
        branches = [
            attribute.as_graph() for attribute in node.attributes.values() if attribute.type == ir.AttributeType.GRAPH
        ]
        inside = (inner for branch in branches for inner in branch.all_nodes())
        if any(value in values for inner in inside for value in inner.inputs):
            return node
    return None
