"""int8: dynamic quantisation of every product with a weight, forward and backward, inside `If` bodies, too.

Activations are quantised per tensor while the graph runs (uint8, asymmetric), weights per output channel (int8,
symmetric): A·W ≈ s_A · s_W · ((A_q − z_A) · W_q). The three nodes around MatMulInteger are what ONNX Runtime fuses.
A text's numbers depend slightly on its batch mates, since they share the activations' scale.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from .assembly import finish
from .axes import BATCH
from .emitter import Emitter
from .region import constant, dims

_FULL_RANGE, _REDUCED_RANGE = 127, 64
_BEHIND_HEAD = ("Add", "Identity", "Reshape", "Squeeze", "Gather", "GatherND", "GatherElements", "Slice")


def quantize(model: ir.Model, *, reduce_range: bool) -> None:
    """Replace, in place, MatMul and Gemm nodes whose second input is a weight; the head keeps its precision.

    Args:
        reduce_range: use 7 of 8 bits for weights. Without it, CPUs that lack VNNI saturate when they add two products
            of 8 bits in 16.
    """
    _Quantizer(model.graph, _REDUCED_RANGE if reduce_range else _FULL_RANGE, _head(model.graph)).visit(model.graph)
    finish(model)


def cpu_needs_reduced_range() -> bool:
    """Whether this machine's CPU lacks the instructions (VNNI) that add 8-bit products in 32 bits."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    return not any(name in flags for name in ("avx512_vnni", "avx_vnni", "asimddp", "i8mm"))


class _Quantizer:
    def __init__(self, outer: ir.Graph, largest: int, head: ir.Node | None) -> None:
        self._outer = outer
        self._head = head
        self._largest = largest
        self._weights: dict[tuple[ir.Value, bool], tuple[ir.Value, ir.Value]] = {}

    def visit(self, graph: ir.Graph) -> None:
        """Quantise one graph and the graphs inside it."""
        op = Emitter(graph, constants=self._outer, prefix=f"int8_{graph.name or 'main'}")
        inputs: dict[ir.Value, tuple[ir.Value, ir.Value, ir.Value]] = {}
        for node in list(graph):
            for attribute in node.attributes.values():
                if attribute.type == ir.AttributeType.GRAPH:
                    self.visit(attribute.as_graph())
            if node is self._head or not _is_product_of_tokens(node):
                continue
            x, w = node.inputs[:2]
            assert x is not None
            assert w is not None
            if x not in inputs:
                inputs[x] = _quantize_activations(op, x)
            result = self._product(op, inputs[x], w, bool(node.attributes.get_int("transB", 0)))
            if len(node.inputs) > 2 and node.inputs[2] is not None:
                result = op.Add(result, node.inputs[2]).value
            _replace(node, result)
        graph.sort()

    def _product(self, op: Emitter, x: tuple[ir.Value, ir.Value, ir.Value], w: ir.Value, transposed: bool) -> ir.Value:
        quantized, scale, zero = x
        weight, weight_scale = self._weight(w, transposed)
        product = op.MatMulInteger(quantized, weight, zero)
        product.value.dtype = ir.DataType.INT32
        return (op.Cast(product, to=ir.DataType.FLOAT) * op.Mul(scale, weight_scale)).value

    def _weight(self, w: ir.Value, transposed: bool) -> tuple[ir.Value, ir.Value]:
        """Quantise a weight [K, N], or [N, K] if ``transposed``, once per use of the same kind."""
        if (w, transposed) not in self._weights:
            array = constant(w)
            assert array is not None
            integers, scales = quantize_weight(array.T if transposed else array, self._largest)
            op = Emitter(self._outer, prefix="int8")
            self._weights[w, transposed] = (
                op.initializer(ir.tensor(integers), f"{w.name}_int8"),
                op.initializer(ir.tensor(scales), f"{w.name}_scale"),
            )
        return self._weights[w, transposed]


def quantize_weight(weight: NDArray[np.float32], largest: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return W_q int8 [K, N] and its scale per column float32 [N], so that W ≈ W_q · s."""
    scales = np.abs(weight).max(axis=0) / largest
    scales = np.where(scales > 0, scales, 1.0).astype(np.float32)
    return np.ascontiguousarray(np.rint(weight / scales)).astype(np.int8), scales


def _head(graph: ir.Graph) -> ir.Node | None:
    """The product that makes the logits, through its bias and the node that picks a position, as GPT-2's does last."""
    value = next((value for value in graph.outputs if value.name == "logits"), None)
    while value is not None and (node := value.producer()) is not None:
        if node.op_type in ("MatMul", "Gemm"):
            return node
        if node.op_type not in _BEHIND_HEAD:
            return None
        computed = [x for x in node.inputs if x is not None and constant(x) is None]
        if node.op_type == "Add" and len(computed) > 1:
            return None
        value = computed[0] if computed else None
    return None


def _is_product_of_tokens(node: ir.Node) -> bool:
    """MatMul or plain Gemm with a weight matrix; not a Gemm over texts, which is small and decides the label."""
    if node.op_type not in ("MatMul", "Gemm") or node.domain:
        return False
    weight = constant(node.inputs[1])
    if weight is None or weight.ndim != 2 or weight.dtype != np.float32:
        return False
    if node.op_type == "MatMul":
        return True
    plain = node.attributes.get_float("alpha", 1.0) == 1.0 == node.attributes.get_float("beta", 1.0)
    shape = dims(node.inputs[0]) if node.inputs[0] is not None else None
    return plain and not node.attributes.get_int("transA", 0) and shape is not None and shape[0] != BATCH


def _quantize_activations(op: Emitter, x: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
    outputs = [
        ir.Value(name=op.name("quantized"), type=ir.TensorType(ir.DataType.UINT8)),
        ir.Value(name=op.name("scale"), type=ir.TensorType(ir.DataType.FLOAT)),
        ir.Value(name=op.name("zero"), type=ir.TensorType(ir.DataType.UINT8)),
    ]
    op.graph.append(ir.node("DynamicQuantizeLinear", [x], outputs=outputs, name=op.name("quantize")))
    return outputs[0], outputs[1], outputs[2]


def _replace(node: ir.Node, result: ir.Value) -> None:
    old = node.outputs[0]
    result.name, result.shape, result.dtype = old.name, old.shape, ir.DataType.FLOAT
    old.replace_all_uses_with(result, replace_graph_outputs=True)
    assert node.graph is not None
    node.graph.remove(node, safe=True)
