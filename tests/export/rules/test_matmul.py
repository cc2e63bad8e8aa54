from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

PROPERTY = settings(max_examples=30, deadline=None, derandomize=True)
AXES = st.sampled_from(["sizes", "symbols", "nothing"])
SIDE = st.integers(1, 4)


@PROPERTY
@given(
    batches=mutually_broadcastable_shapes(num_shapes=2, max_dims=2, min_side=1, max_side=3),
    m=st.none() | SIDE,
    k=SIDE,
    n=st.none() | SIDE,
    axes=AXES,
    seed=st.integers(0, 2**16),
)
def test_matmul_of_matrices_and_vectors(check_gradient, batches, m, k, n, axes, seed):
    rng = np.random.default_rng(seed)
    left, right = batches.input_shapes
    a = rng.normal(size=(k,) if m is None else (*left, m, k))
    b = rng.normal(size=(k,) if n is None else (*right, k, n))
    check_gradient("y = MatMul(x0, x1)", a, b, like=torch.matmul, axes=axes)


@pytest.mark.parametrize("axes", ["sizes", "symbols", "nothing"])
@pytest.mark.parametrize("right", [(0, 3, 4), (3, 4)])
def test_matmul_of_no_matrices(check_gradient, right, axes):
    check_gradient("y = MatMul(x0, x1)", np.zeros((0, 2, 3)), np.ones(right), like=torch.matmul, axes=axes)


@pytest.mark.parametrize("axes", ["sizes", "symbols", "nothing"])
def test_matmul_with_a_constant_weight(check_gradient, axes):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 5))
    check_gradient("y = MatMul(x0, w)", x, like=lambda x: x @ torch.tensor(w), constants={"w": w}, axes=axes)


def test_one_constant_weight_used_by_two_products(check_gradient):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 4)), rng.normal(size=(4, 4))
    check_gradient("h = MatMul(x0, w)  y = MatMul(h, w)", x, like=lambda x: x @ torch.tensor(w @ w), constants={"w": w})


@PROPERTY
@given(
    trans_a=st.booleans(),
    trans_b=st.booleans(),
    bias=st.sampled_from([None, (), (1,), (3,), (2, 1), (2, 3)]),
    weight_is_constant=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_gemm(check_gradient, trans_a, trans_b, bias, weight_is_constant, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(4, 2) if trans_a else (2, 4)), rng.normal(size=(3, 4) if trans_b else (4, 3))
    inputs, names, constants = [a], ["x0"], {}
    if weight_is_constant:
        constants["w"] = b
        names.append("w")
    else:
        inputs.append(b)
        names.append("x1")
    if bias is not None:
        names.append(f"x{len(inputs)}")
        inputs.append(rng.normal(size=bias))

    def like(a, *rest):
        weight, *rest = (torch.tensor(b), *rest) if weight_is_constant else rest
        y = 0.5 * ((a.T if trans_a else a) @ (weight.T if trans_b else weight))
        return y + 2.0 * rest[0] if rest else y

    body = f"y = Gemm<alpha=0.5, beta=2.0, transA={int(trans_a)}, transB={int(trans_b)}>({', '.join(names)})"
    check_gradient(body, *inputs, like=like, constants=constants)
