from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from torch.nn import functional

from tokenward.errors import ExportError
from tokenward.export.autodiff import differentiate
from tokenward.export.region import Region
from tokenward.export.registry import rule

OPTIMISED = ort.SessionOptions()
OPTIMISED.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
OPTIMISED.intra_op_num_threads = 1


def parse(signature: str, body: str, opset: int = 20, **constants: np.ndarray) -> ir.Model:
    inputs, _, outputs = signature.partition(" => ")
    return ir.from_onnx_text(
        f'<ir_version: 10, opset_import: ["": {opset}, "ours": 1]> g ({inputs}) => ({outputs}) {{ {body} }}',
        initializers=[ir.tensor(array, name=name) for name, array in constants.items()],
    )


def named(model: ir.Model, name: str) -> ir.Value:
    values = [*model.graph.inputs, *(output for node in model.graph for output in node.outputs)]
    return next(value for value in values if value.name == name)


def run(model: ir.Model, *outputs: ir.Value, **feed: np.ndarray) -> list[np.ndarray]:
    model.graph.outputs.extend(outputs)
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto)
    session = ort.InferenceSession(proto.SerializeToString(), OPTIMISED, providers=["CPUExecutionProvider"])
    return session.run([value.name for value in outputs], feed)


def floats(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_cotangents_that_meet_are_added() -> None:
    model = parse("float[N] x => float[N] y", "a = Exp(x)  b = Mul(a, x)  c = Add(a, b)  y = Add(c, x)")
    (gradient,) = run(model, differentiate(model.graph, named(model, "y"), named(model, "x")), x=floats(3))
    x = floats(3)
    np.testing.assert_allclose(gradient, np.exp(x) * (2 + x) + 1, rtol=1e-5)


def test_gradients_of_several_values_inputs_and_intermediates_alike() -> None:
    model = parse("float[N] x, float[N] z => float[N] y", "h = Mul(x, z)  y = Exp(h)")
    values = [named(model, name) for name in "xhz"]
    dx, dh, dz = run(model, *differentiate(model.graph, named(model, "y"), values), x=floats(3), z=floats(3, seed=1))
    y = np.exp(floats(3) * floats(3, seed=1))
    np.testing.assert_allclose(dh, y, rtol=1e-5)
    np.testing.assert_allclose(dx, y * floats(3, seed=1), rtol=1e-5)
    np.testing.assert_allclose(dz, y * floats(3), rtol=1e-5)


def test_the_gradient_of_a_value_that_plays_no_part_is_zero() -> None:
    model = parse("float[N] x, float[M] z => float[N] y, float[M] w", "y = Exp(x)  w = Exp(z)")
    _, dz = differentiate(model.graph, named(model, "y"), [named(model, "x"), named(model, "z")])
    (gradient,) = run(model, dz, x=floats(3), z=floats(2))
    assert gradient.tolist() == [0, 0]


def test_the_gradient_of_a_value_in_itself_is_the_seed() -> None:
    model = parse("float[N] x => float[N] y", "y = Exp(x)")
    y = named(model, "y")
    assert differentiate(model.graph, y, y, seed=y) is y


def test_a_seed_weighs_the_outputs() -> None:
    model = parse("float[N,K] x, float[N,K] seed => float[N,K] y", "y = Exp(x)")
    gradient = differentiate(model.graph, named(model, "y"), named(model, "x"), seed=named(model, "seed"))
    onehot = np.eye(2, 3, dtype=np.float32)
    assert np.array_equal(run(model, gradient, x=np.zeros((2, 3), np.float32), seed=onehot)[0], onehot)


def test_the_gradient_of_a_gradient() -> None:
    model = parse("float[N] x => float[N] y", "y = Tanh(x)")
    x = named(model, "x")
    first = differentiate(model.graph, named(model, "y"), x)
    (second,) = run(model, differentiate(model.graph, first, x), x=floats(4))
    tanh = np.tanh(floats(4))
    np.testing.assert_allclose(second, -2 * tanh * (1 - tanh**2), rtol=1e-4)


def test_what_is_piecewise_constant_stops_the_gradient() -> None:
    body = "f = Floor(x)  i = Cast<to=7>(x)  s = Shape(x)  r = Cast<to=1>(i)  a = Add(x, f)  y = Add(a, r)"
    model = parse("float[N] x => float[N] y", body)
    (gradient,) = run(model, differentiate(model.graph, named(model, "y"), named(model, "x")), x=floats(3))
    assert gradient.tolist() == [1, 1, 1]


def test_weights_are_not_shared_with_the_backward_pass() -> None:
    weight = floats(4, 4)
    model = parse("float[N,4] x => float[N,4] y", "h = MatMul(x, w)  y = Gemm<transB=1>(h, w)", w=weight)
    run(model, differentiate(model.graph, named(model, "y"), named(model, "x")), x=floats(2, 4))
    forward = list(model.graph)[:2]
    backward_inputs = {value for node in list(model.graph)[2:] for value in node.inputs}
    assert not backward_inputs & {node.inputs[1] for node in forward}
    copies = {value.name: value.const_value.numpy() for value in backward_inputs if value.is_initializer()}
    assert np.array_equal(copies["grad/w_T"], weight.T)  # of the MatMul
    assert np.array_equal(copies["grad/w"], weight)  # of the Gemm, which reads its weight transposed


def test_an_op_without_a_rule_is_named_with_what_to_do() -> None:
    model = parse("float[N] x => float[N] y", "h = Exp(x)  y = ours.Mystery(h)")
    list(model.graph)[1].name = "node_7"
    with pytest.raises(ExportError) as caught:
        differentiate(model.graph, named(model, "y"), named(model, "x"))
    message = str(caught.value)
    assert "\n" not in message
    assert all(
        part in message for part in ("Mystery", "'ours'", "'node_7'", "tokenward.export.registry.rule('Mystery'")
    )


def test_an_op_without_a_rule_does_no_harm_off_the_path() -> None:
    model = parse("float[N] x, float[N] z => float[N] y", "m = Hardmax(z)  y = Mul(x, m)")
    assert differentiate(model.graph, named(model, "y"), named(model, "x")) is not None


def test_what_computes_a_target_needs_no_rule() -> None:
    model = parse("float[N] x => float[N] y", "h = CumSum(x, axis)  y = Mul(h, h)", axis=np.array(0))
    (gradient,) = run(model, differentiate(model.graph, named(model, "y"), named(model, "h")), x=floats(3))
    np.testing.assert_allclose(gradient, 2 * floats(3).cumsum(), rtol=1e-5)


def test_what_computes_a_target_needs_a_rule_on_the_path_from_another() -> None:
    model = parse("float[N] x => float[N] y", "h = CumSum(x, axis)  y = Mul(h, h)", axis=np.array(0))
    with pytest.raises(ExportError, match="CumSum"):
        differentiate(model.graph, named(model, "y"), [named(model, "h"), named(model, "x")])


def test_a_piecewise_constant_target_beside_its_source() -> None:
    model = parse("float[N] x => float[N] y", "h = Floor(x)  y = Mul(h, x)")
    dh, dx = run(
        model, *differentiate(model.graph, named(model, "y"), [named(model, "h"), named(model, "x")]), x=floats(3)
    )
    assert np.array_equal(dh, floats(3))
    assert np.array_equal(dx, np.floor(floats(3)))


@pytest.mark.parametrize("opset", [11, 12])
def test_an_opset_older_than_the_rules_is_refused(opset) -> None:
    model = parse("float[N,K] x => float[N,K] y", "y = Softmax(x)", opset)
    with pytest.raises(ExportError, match=rf"opset {opset}: the least opset is 13; convert the model") as caught:
        differentiate(model.graph, named(model, "y"), named(model, "x"))
    assert "\n" not in str(caught.value)
    assert len(list(model.graph)) == 1


def test_a_split_that_leaves_an_output_out() -> None:
    model = parse("float[N,4] x => float[N,3] y", "h, y = Split<axis=1>(x, sizes)", sizes=np.array([1, 3]))
    left_out = named(model, "h")
    left_out.name, left_out.type = "", None
    (gradient,) = run(model, differentiate(model.graph, named(model, "y"), named(model, "x")), x=floats(2, 4))
    assert gradient.tolist() == [[0, 1, 1, 1]] * 2


def test_a_failed_attempt_adds_no_node() -> None:
    model = parse("float[N] x => float[N] y", "h = Mish(x)  y = Exp(h)")
    with pytest.raises(ExportError, match="Mish"):
        differentiate(model.graph, named(model, "y"), named(model, "x"))
    assert len(list(model.graph)) == 2


def test_a_rule_from_outside() -> None:
    @rule("Hardmax", domain="ours")
    def straight_through(step, i):
        """x̄ = 2·ȳ."""
        return step.dy * 2.0

    model = parse("float[N] x => float[N] y", "h = ours.Hardmax(x)  y = Neg(h)")
    gradient = differentiate(model.graph, named(model, "y"), named(model, "x"))
    model.graph.remove(list(model.graph)[:2])
    model.graph.outputs.clear()
    assert run(model, gradient, x=floats(2))[0].tolist() == [-2, -2]


def test_independent_values_are_an_error() -> None:
    model = parse("float[N] x, float[N] z => float[N] y", "y = Exp(z)")
    with pytest.raises(ExportError, match=r"'y': it does not depend on 'x'"):
        differentiate(model.graph, named(model, "y"), named(model, "x"))


@pytest.mark.parametrize(
    ("signature", "body", "holds"),
    [
        ("float[V] w, int64[N] x => float[N] y", "y = Gather(w, x)", "INT64"),
        ("float[N] a, float[N] b, bool[N] x => float[N] y", "y = Where(x, a, b)", "BOOL"),
        ("float[N] a, int64[N] x => float[N] y", "z = Cast<to=1>(x)  y = Mul(a, z)", "INT64"),
    ],
)
def test_what_holds_no_floats_has_no_gradient(signature: str, body: str, holds: str) -> None:
    model = parse(signature, body)
    before = len(model.graph)
    with pytest.raises(ExportError, match=f"by 'x': it holds {holds}, which cannot vary smoothly; name a value of"):
        differentiate(model.graph, named(model, "y"), [model.graph.inputs[0], named(model, "x")])
    assert len(model.graph) == before


def test_a_dependence_through_the_body_of_an_if_is_not_missed() -> None:
    branch = "() => (float[N] {0}) {{ {0} = {1}(x) }}"
    body = f"y = If(c) <then_branch = t {branch.format('p', 'Exp')}, else_branch = e {branch.format('q', 'Neg')}>"
    model = parse("float[N] x, bool c => float[N] y", body)
    with pytest.raises(ExportError, match="op If"):
        differentiate(model.graph, named(model, "y"), named(model, "x"))


def test_a_gradient_through_a_second_output_is_refused() -> None:
    model = parse("float[N,3] x => float[N,1] m", "y, m = LayerNormalization(x, s)", s=floats(3))
    with pytest.raises(ExportError, match="an output other than the first"):
        differentiate(model.graph, named(model, "m"), named(model, "x"))


def test_the_backward_pass_can_be_the_body_of_an_if() -> None:
    model = parse("float[N,4] x, bool wanted => float[N,4] y", "h = MatMul(x, w)  y = Tanh(h)", w=floats(4, 4))
    graph, x = model.graph, named(model, "x")
    body, blank = (ir.Graph([], [], nodes=[], name=name) for name in ("backward", "blank"))
    body.outputs.append(differentiate(graph, named(model, "y"), x, region=Region(body, constants=graph)))
    zeros = ir.node("Sub", [x, x])
    blank.append(zeros)
    blank.outputs.append(zeros.outputs[0])
    outputs = [ir.Value(name="dx", type=ir.TensorType(ir.DataType.FLOAT))]
    choose = ir.node("If", [named(model, "wanted")], {"then_branch": body, "else_branch": blank}, outputs=outputs)
    graph.append(choose)
    graph.outputs.append(outputs[0])
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), OPTIMISED)
    inputs = {"x": floats(2, 4, seed=1)}
    y, off = session.run(["y", "dx"], {**inputs, "wanted": np.array(False)})
    (on,) = session.run(["dx"], {**inputs, "wanted": np.array(True)})
    assert not off.any()
    np.testing.assert_allclose(on, (1 - y**2) @ floats(4, 4).T, rtol=1e-4, atol=1e-5)


# An encoder layer the way exporters wrote it before opset 17: layer normalisation and GELU in pieces, head counts from
# shapes computed while the graph runs, nothing annotated but the inputs.
DECOMPOSED = """
    shape = Shape(x)  batch = Gather(shape, zero)  length = Gather(shape, one)
    batch1 = Unsqueeze(batch, first)  length1 = Unsqueeze(length, first)
    heads = Concat<axis=0>(batch1, length1, two_heads)
    q = MatMul(x, wq)  q1 = Add(q, b)  q2 = Reshape(q1, heads)  q3 = Transpose<perm=[0,2,1,3]>(q2)
    k = MatMul(x, wk)  k1 = Add(b, k)  k2 = Reshape(k1, heads)  k3 = Transpose<perm=[0,2,3,1]>(k2)
    v = MatMul(x, wv)  v1 = Add(v, b)  v2 = Reshape(v1, heads)  v3 = Transpose<perm=[0,2,1,3]>(v2)
    s = MatMul(q3, k3)  s1 = Div(s, root)  s2 = Add(s1, mask)  p = Softmax<axis=-1>(s2)
    c = MatMul(p, v3)  c1 = Transpose<perm=[0,2,1,3]>(c)
    joined = Concat<axis=0>(batch1, length1, width)  c2 = Reshape(c1, joined)
    r = Add(c2, x)
    m = ReduceMean<axes=[-1]>(r)  d = Sub(r, m)  d2 = Pow(d, square)  v4 = ReduceMean<axes=[-1]>(d2)
    e = Add(v4, epsilon)  e1 = Sqrt(e)  n = Div(d, e1)  n1 = Mul(n, scale)  n2 = Add(n1, b)
    g = Div(n2, root2)  g1 = Erf(g)  g2 = Add(g1, unit)  g3 = Mul(n2, g2)  g4 = Mul(g3, half)
    first_token = Gather<axis=1>(g4, zero)  y = Gemm<transB=1>(first_token, wy)
"""


@pytest.mark.parametrize("opset", [13, 14, 17])
def test_an_encoder_layer_in_pieces(opset) -> None:
    wq, wk, wv, wy = (floats(6, 6, seed=i) * 0.3 for i in range(4))
    b, scale = floats(6, seed=5), floats(6, seed=6)
    numbers = {"root": np.sqrt(3), "square": 2, "epsilon": 1e-3, "root2": np.sqrt(2), "unit": 1, "half": 0.5}
    sizes = {"zero": 0, "one": 1, "first": [0], "two_heads": [2, 3], "width": [6]}
    model = parse(
        "float[batch,sequence,6] x, float[batch,1,1,sequence] mask => float[batch,6] y",
        DECOMPOSED,
        opset,
        **{name: np.array(number, np.float32) for name, number in numbers.items()},
        **{name: np.array(size) for name, size in sizes.items()},
        **{"wq": wq, "wk": wk, "wv": wv, "wy": wy, "b": b, "scale": scale},
    )
    gradient = differentiate(model.graph, named(model, "y"), named(model, "x"))

    x, mask = floats(2, 5, 6, seed=9), np.where(np.arange(5) < [[5], [3]], 0, -1e9).astype(np.float32)[:, None, None]
    (found,) = run(model, gradient, x=x, mask=mask)

    leaf = torch.tensor(x, requires_grad=True)
    bias = torch.tensor(b)
    q, k, v = ((leaf @ torch.tensor(w) + bias).view(2, 5, 2, 3).transpose(1, 2) for w in (wq, wk, wv))
    scores = q @ k.transpose(-1, -2) / np.sqrt(3) + torch.tensor(mask)
    context = (scores.softmax(-1) @ v).transpose(1, 2).reshape(2, 5, 6) + leaf
    hidden = functional.gelu(functional.layer_norm(context, (6,), torch.tensor(scale), bias, eps=1e-3))
    (hidden[:, 0] @ torch.tensor(wy).T).sum().backward()
    np.testing.assert_allclose(found, leaf.grad, rtol=1e-3, atol=1e-5)
