from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from tokenward.export.emitter import Emitter

FLOAT, INT64, BOOL = ir.DataType.FLOAT, ir.DataType.INT64, ir.DataType.BOOL


def graph_of(*inputs: ir.Value) -> ir.Graph:
    return ir.Graph(inputs, [], nodes=[], opset_imports={"": 20}, name="g")


def value(name: str, dtype: ir.DataType = FLOAT) -> ir.Value:
    return ir.Value(name=name, type=ir.TensorType(dtype))


def test_a_formula_appends_its_nodes_in_order() -> None:
    x = value("x")
    graph = graph_of(x)
    op = Emitter(graph)
    y = op.Exp(x)
    result = -(2.0 - y * y) / 4.0 + y
    assert [node.op_type for node in graph] == ["Exp", "Mul", "Sub", "Neg", "Div", "Add"]
    assert result.value.producer() is list(graph)[-1]


def test_numbers_take_the_type_of_their_neighbour() -> None:
    half, count, flag = value("half", ir.DataType.FLOAT16), value("count", INT64), value("flag", BOOL)
    op = Emitter(graph_of(half, count, flag))
    assert op.Mul(half, 0.5).value.producer().inputs[1].dtype == ir.DataType.FLOAT16
    assert op.Add(1, count).value.producer().inputs[0].dtype == INT64
    assert op.Where(flag, half, 0.0).value.producer().inputs[2].dtype == ir.DataType.FLOAT16


def test_a_number_with_no_typed_neighbour_is_an_error() -> None:
    with pytest.raises(ValueError, match="no typed value stands beside it"):
        Emitter(graph_of()).Exp(1.0)


def test_sequences_are_axes_and_arrays_keep_their_type() -> None:
    x = value("x")
    op = Emitter(graph_of(x))
    axes = op.ReduceSum(x, [0, -1]).value.producer().inputs[1]
    assert (axes.dtype, axes.const_value.numpy().tolist()) == (INT64, [0, -1])
    assert op.Mul(x, np.float32([1, 2])).value.producer().inputs[1].dtype == FLOAT


def test_the_dtype_of_results_is_known() -> None:
    x, flag = value("x"), value("flag", BOOL)
    op = Emitter(graph_of(x, flag))
    results = [op.Equal(x, x), op.Shape(x), op.Cast(flag, to=INT64), op.Where(flag, x, x), op.Exp(x)]
    assert [term.value.dtype for term in results] == [BOOL, INT64, INT64, FLOAT, FLOAT]


def test_equal_constants_are_stored_once() -> None:
    x = value("x")
    graph = graph_of(x)
    op = Emitter(graph)
    op.Add(op.Mul(x, 0.5), 0.5)
    op.Mul(x, 2)
    assert sorted(v.const_value.numpy().item() for v in graph.initializers.values()) == [0.5, 2]


def test_names_are_new_even_beside_inner_graphs() -> None:
    x = value("x")
    graph = graph_of(x)
    body = ir.Graph([], [], nodes=[ir.node("Exp", [x], outputs=[value("grad/Exp")])], name="body")
    graph.append(ir.node("If", [value("c", BOOL)], {"then_branch": body}))
    names = [Emitter(graph).Exp(x).value.name, Emitter(graph).Exp(x).value.name]
    assert len({"grad/Exp", *names}) == 3


def test_constants_of_an_inner_graph_can_live_outside() -> None:
    x = value("x")
    outer, inner = graph_of(x), ir.Graph([], [], nodes=[], name="body")
    op = Emitter(inner, constants=outer)
    op.Mul(x, 0.5)
    assert (len(outer.initializers), len(inner.initializers), len(list(inner))) == (1, 0, 1)
    assert op.opset == 20


def test_only_capitalised_names_are_operators() -> None:
    with pytest.raises(AttributeError):
        Emitter(graph_of()).exp  # noqa: B018
