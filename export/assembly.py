"""Assembles the guarded graph: the plain classifier, then its passes, gradient, scores, gate and packing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes import common

from . import attention_tap, scoring
from .autodiff import differentiate
from .axes import BATCH, SEQUENCE
from .discovery import Layout
from .emitter import Emitter
from .gate import Gated, gate_rows, rows_at_or_above
from .merging import merge
from .names import GATE, OUTPUTS, free_names
from .narrowing import narrow
from .packing import pack
from .presets import Plan
from .region import Region

_PER_TOKEN = (BATCH, SEQUENCE)


def guard_graph(model: ir.Model, layout: Layout, plan: Plan, table: NDArray[np.bool_]) -> bool:
    """Turn a plain classifier into the guarded graph of ``plan``, in place; tell whether it is packed.

    Args:
        layout: what :func:`discovery.discover` found in ``model``.
        table: which vocabulary entries are scored, bool [vocabulary].

    Raises:
        ExportError: an op on the way of the gradient has no rule.
    """
    graph = model.graph
    free_names(graph, (*OUTPUTS, GATE))
    copies = narrow(graph, layout) if plan.narrowed else {}
    if plan.merged:
        merge(graph, apart=(*copies, layout.logits))
    op = Emitter(graph, prefix="guard")
    scored = scoring.scored_tokens(op, layout, table)
    by_layer = attention_tap.class_attention_by_layer(op, layout, copies) if plan.by_layer else None
    if by_layer is None:
        class_attention = attention_tap.class_attention(op, layout, copies)
    else:
        class_attention = attention_tap.last_layer(op, by_layer)
    received = attention_tap.attention_received(op, layout, plan.attention_layers)
    source = layout.attention[plan.gradient_layer].input if plan.gradient_layer else layout.embedding
    graph.sort()
    gradient = differentiate(
        graph, layout.logits, source, seed=scoring.predicted_class(op, layout), region=Region(graph, prefix="grad")
    )
    salient = scoring.saliency(op, layout, gradient)
    scores = scoring.score(op, layout.input_ids, scored, received, salient)
    values: dict[str, ir.Value] = {
        "class_attention": class_attention,
        "attention_received": received,
        "saliency": salient,
        "token_scores": scores.tokens,
        "anomaly_score": scores.anomaly,
        "suspect": scores.suspect,
    }
    if by_layer is not None:
        values["class_attention_by_layer"] = by_layer
    if plan.gated:
        values |= _gated(op, layout, plan, values, scored)
    else:
        values["scored"] = op.Expand(np.array(True), op.Shape(layout.input_ids, start=0, end=1)).value
    _declare(graph, values, layout)
    packed = plan.packed and pack(graph, layout.attention_mask)
    finish(model)
    return packed


def finish(model: ir.Model) -> None:
    """Drop what nothing reads and bring the nodes into an order that can be run."""
    common.RemoveUnusedNodesPass()(model)
    model.graph.sort()


def _gated(
    op: Emitter, layout: Layout, plan: Plan, values: Mapping[str, ir.Value], scored: ir.Value
) -> dict[str, ir.Value]:
    """Put what not every text needs behind the input ``gate``; return the values that change."""
    graph = op.graph
    # Whoever does not know this input gets every number right: the default leaves nothing out.
    never_skip = ir.tensor(np.array(-np.inf, np.float32), name=GATE)
    gate = ir.Value(name=GATE, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([]), const_value=never_skip)
    graph.inputs.append(gate)
    graph.register_initializer(gate)
    if plan.attention_gated:
        bound = scoring.bound_without_attention(op, layout, scored)
    else:
        bound = scoring.bound(op, scored, values["attention_received"])
    rows = rows_at_or_above(op, bound, gate)
    shape = op.Shape(layout.input_ids)
    no_tokens = op.Expand(np.zeros((), np.float32), shape).value
    no_score = op.Expand(np.zeros((), np.float32), op.Slice(shape, [0], [1])).value
    no_suspect = op.Expand(np.array(-1), op.Slice(shape, [0], [1])).value
    skipped = {"saliency": no_tokens, "token_scores": no_tokens, "anomaly_score": no_score, "suspect": no_suspect}
    if plan.attention_gated:
        skipped["attention_received"] = no_tokens
    kept = [layout.logits, *(value for name, value in values.items() if name not in skipped)]
    items = [Gated(values[name], blank) for name, blank in skipped.items()]
    return {**dict(zip(skipped, gate_rows(graph, items, rows, kept), strict=True)), "scored": rows}


def _declare(graph: ir.Graph, values: Mapping[str, ir.Value], layout: Layout) -> None:
    """Make ``values`` the outputs beside the logits, under the names of the contract."""
    per_text = ("anomaly_score", "suspect", "scored")
    layout.logits.name = "logits"
    graph.outputs.clear()
    graph.outputs.append(layout.logits)
    for name, value in values.items():
        value.name = name
        if name != "class_attention_by_layer":
            value.shape = ir.Shape(_PER_TOKEN[:1] if name in per_text else _PER_TOKEN)
        graph.outputs.append(value)
