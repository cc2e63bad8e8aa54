"""Write ONNX nodes the way formulas are written: `dy * (1.0 - y * y)`, `op.Exp(-x) * 0.5`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np
import onnx_ir as ir

Operand: TypeAlias = "Term | ir.Value | float | int | np.ndarray | Sequence[int]"
Attribute: TypeAlias = "int | float | str | Sequence[int]"


@dataclass(frozen=True, eq=False)
class Term:
    """A value in a formula: `+ - * /` append the node that computes the result.

    (`onnx_ir.Value` has such operators too, but with one handler for the whole process, and exporters override them.)
    """

    value: ir.Value
    op: Emitter

    def __add__(self, other: Operand) -> Term:
        return self.op.Add(self, other)

    def __sub__(self, other: Operand) -> Term:
        return self.op.Sub(self, other)

    def __rsub__(self, other: Operand) -> Term:
        return self.op.Sub(other, self)

    def __mul__(self, other: Operand) -> Term:
        return self.op.Mul(self, other)

    def __truediv__(self, other: Operand) -> Term:
        return self.op.Div(self, other)

    def __neg__(self) -> Term:
        return self.op.Neg(self)


_BOOL = ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Not", "And", "Or", "IsNaN")
_INT64 = ("Shape", "Size", "NonZero", "ArgMax", "ArgMin")


class Emitter:
    """Appends nodes to `graph`: `op.Name(inputs..., attribute=...)` is the (first) output of a new node.

    Inputs may be terms, values, None (left out), numbers, integer sequences or arrays. A Python number takes the dtype
    of the first number-typed value beside it; a sequence of integers is int64; an array keeps its own.
    Constants become initializers of `constants` (default: `graph`), each distinct one once. Names start with `prefix`
    and clash with no name in either graph or its subgraphs: inner graphs may not shadow outer names.
    """

    def __init__(self, graph: ir.Graph, *, constants: ir.Graph | None = None, prefix: str = "grad") -> None:
        self.graph = graph
        self.constants = graph if constants is None else constants
        self.prefix = prefix
        self._known: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = {}
        self._taken = _names(self.graph) | _names(self.constants)
        self._used: Counter[str] = Counter()

    @property
    def opset(self) -> int:
        """Version of the standard operator set that the nodes are written for."""
        imports = self.graph.opset_imports or self.constants.opset_imports
        return imports.get("", 20)

    def __getattr__(self, op_type: str) -> Callable[..., Term]:
        if not op_type[0].isupper():
            raise AttributeError(op_type)
        return lambda *inputs, **attributes: self.emit(op_type, *inputs, **attributes)

    def emit(self, op_type: str, *inputs: Operand | None, **attributes: Attribute) -> Term:
        """Append one node of type `op_type` and return its first output, its dtype set."""
        given = [x.value if isinstance(x, Term) else x for x in inputs]
        dtypes = (x.dtype for x in given if isinstance(x, ir.Value))
        beside = next((dtype for dtype in dtypes if dtype not in (None, ir.DataType.BOOL)), None)
        values = [None if x is None else self.value(x, beside) for x in given]
        node = ir.Node(
            "",
            op_type,
            values,
            attributes=ir.convenience.convert_attributes(attributes),
            outputs=[ir.Value(name=self.name(op_type))],
            name=self.name(f"node_{op_type}"),
        )
        output = node.outputs[0]
        dtype = _result_dtype(op_type, values, attributes)
        if dtype is not None:
            output.dtype = dtype
        self.graph.append(node)
        return Term(output, self)

    def term(self, operand: Operand, dtype: ir.DataType | None = None) -> Term:
        """Return `operand` as a term; numbers become constants of type `dtype`."""
        return Term(self.value(operand, dtype), self)

    def value(self, operand: Operand, dtype: ir.DataType | None = None) -> ir.Value:
        """Return `operand` as a value: itself, or an initializer holding it as `dtype`."""
        if isinstance(operand, Term):
            return operand.value
        if isinstance(operand, ir.Value):
            return operand
        if isinstance(operand, (int, float)):
            if dtype is None:
                raise ValueError(f"the dtype of the constant {operand} is unknown: no typed value stands beside it")
            array = np.asarray(operand, dtype.numpy())
        else:
            array = operand if isinstance(operand, np.ndarray) else np.asarray(operand, np.int64)
        key = (array.dtype.name, array.shape, array.tobytes())
        if key not in self._known:
            self._known[key] = self.initializer(ir.tensor(array), "const")
        return self._known[key]

    def initializer(self, tensor: ir.TensorProtocol, name: str) -> ir.Value:
        """Register `tensor` as an initializer under a free name made from `name`."""
        shape = ir.Shape(tensor.shape.numpy())
        value = ir.Value(name=self.name(name), shape=shape, type=ir.TensorType(tensor.dtype), const_value=tensor)
        tensor.name = value.name
        self.constants.register_initializer(value)
        return value

    def name(self, stem: str) -> str:
        """Return a name that nothing in the graph carries yet, and take it."""
        while True:
            count = self._used[stem]
            self._used[stem] += 1
            name = f"{self.prefix}/{stem}_{count}" if count else f"{self.prefix}/{stem}"
            if name not in self._taken:
                self._taken.add(name)
                return name


def _result_dtype(
    op_type: str, inputs: Sequence[ir.Value | None], attributes: Mapping[str, Attribute]
) -> ir.DataType | None:
    if op_type in _BOOL:
        return ir.DataType.BOOL
    if op_type in _INT64:
        return ir.DataType.INT64
    if op_type == "Cast":
        return ir.DataType(cast(int, attributes["to"]))
    source = inputs[1] if op_type == "Where" else inputs[0]
    return None if source is None else source.dtype


def _names(graph: ir.Graph) -> set[str]:
    values = [*graph.inputs, *graph.initializers.values()]
    names = set()
    for node in graph.all_nodes():
        names.add(node.name or "")
        values += node.outputs
        for inner in node.attributes.values():
            if inner.type == ir.AttributeType.GRAPH:
                inner_graph = inner.as_graph()
                values += [*inner_graph.inputs, *inner_graph.initializers.values()]
    return names | {value.name for value in values if value.name}
