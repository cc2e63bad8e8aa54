from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

PROPERTY = settings(max_examples=12, deadline=None, derandomize=True)
AXES = st.sampled_from(["sizes", "symbols", "nothing"])


@pytest.mark.parametrize(
    ("op", "like"),
    [
        ("Tanh", torch.tanh),
        ("Sigmoid", torch.sigmoid),
        ("Softplus", functional.softplus),
        ("Relu", torch.relu),
        ("LeakyRelu<alpha=0.25>", lambda x: functional.leaky_relu(x, 0.25)),
        ("LeakyRelu", functional.leaky_relu),
        ("Gelu", functional.gelu),
        ('Gelu<approximate="tanh">', lambda x: functional.gelu(x, approximate="tanh")),
    ],
)
@PROPERTY
@given(shape=st.lists(st.integers(0, 5), max_size=3), axes=AXES, seed=st.integers(0, 2**16))
def test_activations(check_gradient, op, like, shape, axes, seed):
    x = np.random.default_rng(seed).normal(size=shape) + 0.01
    check_gradient(f"y = {op}(x0)", x, like=like, axes=axes)


@pytest.mark.parametrize(("op", "like"), [("Softmax", torch.softmax), ("LogSoftmax", torch.log_softmax)])
@PROPERTY
@given(data=st.data(), axes=AXES, seed=st.integers(0, 2**16))
def test_softmax_along_any_axis(check_gradient, op, like, data, axes, seed):
    shape = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = np.random.default_rng(seed).normal(size=shape)
    check_gradient(f"y = {op}<axis={axis}>(x0)", x, like=lambda x: like(x, axis), axes=axes)


def test_softmax_with_masked_positions(check_gradient):
    scores = np.random.default_rng(0).normal(size=(2, 3, 5))
    mask = np.where(np.arange(5) < 3, 0.0, np.finfo(np.float32).min)
    check_gradient(
        "s = Add(x0, mask)  y = Softmax(s)",
        scores,
        like=lambda x: torch.softmax(x + torch.tensor(mask), -1),
        constants={"mask": mask},
    )


def test_silu_as_exported(check_gradient):
    x = np.random.default_rng(0).normal(size=(3, 4))
    check_gradient("s = Sigmoid(x0)  y = Mul(x0, s)", x, like=functional.silu)


def test_gelu_as_exported_before_opset_20(check_gradient):
    x = np.random.default_rng(0).normal(size=(3, 4))
    check_gradient(
        "d = Div(x0, root)  e = Erf(d)  a = Add(e, one)  m = Mul(x0, a)  y = Mul(m, half)",
        x,
        like=functional.gelu,
        constants={"root": np.array(np.sqrt(2)), "one": np.array(1.0), "half": np.array(0.5)},
        opset=13,
    )
