from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

PROPERTY = settings(max_examples=20, deadline=None, derandomize=True)
AXES = st.sampled_from(["sizes", "symbols", "nothing"])


@PROPERTY
@given(
    shape=st.lists(st.integers(2, 5), min_size=1, max_size=4),
    data=st.data(),
    with_bias=st.booleans(),
    constant_parameters=st.booleans(),
    opset=st.sampled_from([17, 20]),
    axes=AXES,
)
def test_layer_normalization(check_gradient, shape, data, with_bias, constant_parameters, opset, axes):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    normal = shape[axis:]
    parameters = [rng.normal(size=normal) for _ in range(1 + with_bias)]
    x = rng.normal(size=shape)

    if constant_parameters:
        names, inputs = ["scale", "bias"][: len(parameters)], [x]
        constants = dict(zip(names, parameters, strict=True))
    else:
        names, inputs, constants = ["x1", "x2"][: len(parameters)], [x, *parameters], {}

    def like(x, *given):
        return functional.layer_norm(x, normal, *(given or map(torch.tensor, parameters)), eps=1e-3)

    body = f"y = LayerNormalization<axis={axis}, epsilon=1e-3>(x0, {', '.join(names)})"
    check_gradient(body, *inputs, like=like, constants=constants, axes=axes, opset=opset)


def test_layer_normalization_whose_statistics_are_already_outputs(check_gradient):
    x, scale = np.random.default_rng(0).normal(size=(3, 4)), np.linspace(0.5, 2, 4)
    check_gradient(
        "y, mean, r = LayerNormalization(x0, scale)",
        x,
        like=lambda x: functional.layer_norm(x, (4,), torch.tensor(scale)),
        constants={"scale": scale},
    )


@pytest.mark.parametrize("opset", [13, 18])
def test_layer_normalization_as_exported_before_opset_17(check_gradient, opset):
    rng = np.random.default_rng(0)
    x, scale, bias = rng.normal(size=(2, 3, 4)), rng.normal(size=4), rng.normal(size=4)
    mean = "ReduceMean<axes=[-1]>({})" if opset < 18 else "ReduceMean({}, last)"
    check_gradient(
        f"m = {mean.format('x0')}  d = Sub(x0, m)  s = Pow(d, two)  v = {mean.format('s')}  e = Add(v, epsilon)"
        "  r = Sqrt(e)  n = Div(d, r)  t = Mul(n, scale)  y = Add(t, bias)",
        x,
        like=lambda x: functional.layer_norm(x, (4,), torch.tensor(scale), torch.tensor(bias), eps=1e-3),
        constants={
            "two": np.array(2.0),
            "epsilon": np.array(1e-3),
            "scale": scale,
            "bias": bias,
            "last": np.array([-1]),
        },
        opset=opset,
    )


@pytest.mark.parametrize("op", ["RMSNormalization", "SimplifiedLayerNormalization"])
@PROPERTY
@given(shape=st.lists(st.integers(2, 5), min_size=1, max_size=3), axes=AXES, seed=st.integers(0, 2**16))
def test_root_mean_square_normalization(check_gradient, op, shape, axes, seed):
    rng = np.random.default_rng(seed)
    x, scale = rng.normal(size=shape), rng.normal(size=shape[-1:])
    check_gradient(
        f"y = {op}<epsilon=1e-3>(x0, x1)",
        x,
        scale,
        like=lambda x, scale: functional.rms_norm(x, scale.shape, scale, eps=1e-3),
        axes=axes,
        opset=23,
    )
