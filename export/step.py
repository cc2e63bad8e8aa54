"""What a vector-Jacobian rule sees: one forward node, its values, and the cotangents of its outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, cast

import numpy as np
import onnx_ir as ir

from ..errors import ExportError
from .emitter import Term
from .region import Dim, Region, constant, dims

_Attribute = TypeVar("_Attribute", int, float, str, list[int])


class Step:
    """One node on the way back, for the rule of its op type.

    node: the forward node.
    dys: the cotangent of each output, None where an output has none (is unused or not on a path).
    region, op: where nodes are appended; `op.Name(...)` appends one.
    """

    def __init__(self, node: ir.Node, dys: Sequence[Term | None], region: Region) -> None:
        self.node = node
        self.dys = dys
        self.region = region
        self.op = region.op

    @property
    def dy(self) -> Term:
        """Cotangent of the first output, for ops whose other outputs carry no gradient."""
        if self.dys[0] is None or any(dy is not None for dy in self.dys[1:]):
            raise self.refusal("its rule covers no gradient through an output other than the first")
        return self.dys[0]

    def has(self, i: int) -> bool:
        """Tell whether the node is given input i."""
        return i < len(self.node.inputs) and self.node.inputs[i] is not None

    def input(self, i: int) -> ir.Value:
        """Forward input i itself, for its annotations."""
        value = self.node.inputs[i]
        assert value is not None, f"{self.node.op_type} has no input {i}"
        return value

    def x(self, i: int) -> Term:
        """Forward input i, for use in a formula."""
        return self.op.term(self.input(i))

    def y(self, i: int = 0) -> Term:
        """Forward output i, for use in a formula."""
        return self.op.term(self.node.outputs[i])

    def dims(self, i: int) -> tuple[Dim, ...] | None:
        """Annotated axes of forward input i."""
        return dims(self.input(i))

    def output_dims(self, i: int = 0) -> tuple[Dim, ...] | None:
        """Annotated axes of forward output i."""
        return dims(self.node.outputs[i])

    def rank(self, i: int) -> int:
        """Return the number of axes of forward input i."""
        known = self.dims(i)
        if known is None:
            raise self.refusal(f"its input {i} has an unknown rank; annotate the graph's shapes first")
        return len(known)

    def size(self, i: int, axis: int) -> Term:
        """Return the size of one axis of input i, int64 [1]."""
        return self.region.size(self.input(i), axis)

    def dtype(self, i: int) -> ir.DataType:
        """Return the dtype of input i."""
        dtype = self.input(i).dtype
        if dtype is None:
            raise self.refusal(f"its input {i} has an unknown type; annotate the graph's types first")
        return dtype

    def constant(self, i: int) -> np.ndarray | None:
        """Return what forward input i always holds; None where that is unknown or the input is left out."""
        return constant(self.input(i)) if self.has(i) else None

    def attribute(self, name: str, default: _Attribute) -> _Attribute:
        """Value of the node's attribute `name`, or `default`."""
        found = self.node.attributes.get(name)
        return default if found is None else cast(_Attribute, found.value)

    def refusal(self, why: str) -> ExportError:
        """Return the error for a use of this op that its rule does not cover."""
        return ExportError(f"cannot differentiate {self.node.op_type} (node '{self.node.name}'): {why}")
