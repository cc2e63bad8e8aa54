"""Where backward nodes go, what is known of values before the graph runs, and sizes measured while it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from .emitter import Emitter, Term

_RETYPING = frozenset({"Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze"})

Dim: TypeAlias = "int | str | None"
"""One axis as far as it is known before the graph runs: a size, a symbol, or nothing."""


def constant(value: ir.Value | None) -> np.ndarray | None:
    """Return what `value` always holds, or None where that depends on the graph's inputs."""
    if value is None or value.is_graph_input():
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def is_constant(value: ir.Value) -> bool:
    """Tell whether `value` is an initializer (that no input overrides) or made by a Constant node."""
    return not value.is_graph_input() and ir.convenience.get_const_tensor(value) is not None


def retyped_from(value: ir.Value | None) -> ir.Value | None:
    """Follow `value` back through ops that only retype or reshape it."""
    while value is not None:
        node = value.producer()
        if node is None or node.op_type not in _RETYPING:
            break
        value = node.inputs[0]
    return value


def dims(value: ir.Value) -> tuple[Dim, ...] | None:
    """Return the axes of `value` as annotated, or None where even their number is unknown."""
    shape = value.shape if value.const_value is None else value.const_value.shape
    if shape is None:
        return None
    return tuple(dim if isinstance(dim, int) else dim.value for dim in shape)


class Region:
    """Where the backward nodes of a `differentiate` call go, and the helpers that rules share there.

    graph: the graph that receives the nodes: the forward graph itself, or the body of an `If` in it (a body may use
        outer values directly).
    constants: the graph that receives the initializers; default `graph`. Give the outermost graph when `graph` is a
        body, so that passes that rewrite weights (quantisation) find the backward pass's copies.
    prefix: what the names of new nodes and values start with.

    Run-time sizes are taken from the graph's inputs wherever an axis carries the symbol of an input's axis. So the
    nodes appended may be moved into an `If` and fed with fewer rows, as long as the inputs are cut the same way: no
    large forward value is then cut only to be measured. They carry dtypes but no shapes, so no symbol can come to mean
    two sizes.
    """

    def __init__(self, graph: ir.Graph, *, constants: ir.Graph | None = None, prefix: str = "grad") -> None:
        self.op = Emitter(graph, constants=constants, prefix=prefix)
        self._copies: dict[tuple[ir.Value, bool], Term] = {}
        self._sizes: dict[str, Term] = {}
        self._symbols = {
            dim: (value, axis)
            for value in self.op.constants.inputs
            for axis, dim in enumerate(dims(value) or ())
            if isinstance(dim, str)
        }

    def copy(self, weight: ir.Value, *, transposed: bool) -> Term:
        """Return a constant of the backward pass's own, equal to `weight` [K, N] or its transpose [N, K].

        Own, because tools that quantise a graph rewrite the weights of its matrix products in place; made now,
        because they only see products whose weight is an initializer.
        """
        if (weight, transposed) not in self._copies:
            tensor = ir.convenience.get_const_tensor(weight)
            assert tensor is not None
            rows, columns = tensor.shape.numpy()
            shape = ir.Shape([columns, rows] if transposed else [rows, columns])

            def read() -> ir.TensorProtocol:
                array = tensor.numpy()
                return ir.tensor(np.ascontiguousarray(array.T) if transposed else array)

            lazy = ir.LazyTensor(read, tensor.dtype, shape)
            name = f"{weight.name}_T" if transposed else f"{weight.name}"
            self._copies[weight, transposed] = self.op.term(self.op.initializer(lazy, name))
        return self._copies[weight, transposed]

    def size(self, value: ir.Value, axis: int) -> Term:
        """Return the size of one axis of a forward value, int64 [1]."""
        known = dims(value)
        dim = None if known is None else known[axis]
        if isinstance(dim, int):
            return self.op.term([dim])
        if dim not in self._symbols:
            return self.op.Gather(self.op.Shape(value), [axis], axis=0)
        if dim not in self._sizes:
            source, source_axis = self._symbols[dim]
            self._sizes[dim] = self.op.Gather(self.op.Shape(source), [source_axis], axis=0)
        return self._sizes[dim]

    def shape(self, value: ir.Value) -> Term:
        """Return the shape of a forward value, int64 [rank]."""
        known = dims(value)
        if known is None or not all(isinstance(dim, int) or dim in self._symbols for dim in known):
            return self.op.Shape(value)
        if all(isinstance(dim, int) for dim in known):
            return self.op.term(np.array(known, np.int64))
        return self.op.Concat(*[self.size(value, axis) for axis in range(len(known))], axis=0)

    def full(self, fill: float, like: ir.Value) -> Term:
        """Return a tensor of the dtype and shape of the forward value `like`, each element `fill`."""
        return self.op.Expand(self.op.term(fill, like.dtype), self.shape(like))

    def sum_to(self, value: Term, known: Sequence[Dim] | None, like: ir.Value) -> Term:
        """Sum `value`, whose axes are `known`, over the axes that broadcasting stretched the forward `like` along."""
        op, target = self.op, dims(like)
        if known is None or target is None:
            return self._sum_to_at_run_time(value, like)
        lead = len(known) - len(target)
        stretched = []
        for axis, (inner, outer) in enumerate(zip(target, known[lead:], strict=True), lead):
            if inner == 1 and outer != 1:
                stretched.append(axis)
            elif not isinstance(inner, int) and (inner is None or inner != outer):
                return self._sum_to_at_run_time(value, like)
        if stretched:
            value = op.ReduceSum(value, stretched, keepdims=1)
        if lead:
            value = op.ReduceSum(value, list(range(lead)), keepdims=0)
        return value

    def _sum_to_at_run_time(self, value: Term, like: ir.Value) -> Term:
        """Compare the two shapes while the graph runs: an axis that could be 1 may have been stretched or not."""
        op, shape, target = self.op, self.op.Shape(value), self.shape(like)
        lead = op.Sub(op.Shape(shape), op.Shape(target))
        padded = op.Concat(op.Expand([1], lead), target, axis=0)
        stretched = op.Reshape(op.NonZero(op.Not(op.Equal(shape, padded))), [-1])
        value = op.ReduceSum(value, stretched, keepdims=1, noop_with_empty_axes=1)
        return self.reshape(value, target)

    def reshape(self, value: Term, shape: Term) -> Term:
        """Reshape to a shape computed while the graph runs, in which a 0 is a size and not a mark.

        Before opset 14 no graph can say so: there an empty axis works only where `value` is as empty at its place.
        """
        allowzero = {"allowzero": 1} if self.op.opset >= 14 else {}
        return self.op.Reshape(value, shape, **allowzero)

    def reshape_to(self, value: Term, known: Sequence[Dim] | None, like: ir.Value) -> Term:
        """Give `value`, whose axes are `known`, the shape of the forward `like`, without run-time shapes if it can."""
        target = dims(like)
        if target is None or 0 in target:
            return self.reshape(value, self.shape(like))
        marks: list[int] = []
        for axis, dim in enumerate(target):
            kept = known is not None and axis < len(known) and dim is not None and dim == known[axis]
            marks.append(dim if isinstance(dim, int) else 0 if kept else -1)
        # Of an empty tensor ONNX Runtime cannot tell what -1 stands for beside another 0.
        if marks.count(-1) > (0 if 0 in marks else 1):
            return self.reshape(value, self.shape(like))
        return self.op.Reshape(value, marks)
