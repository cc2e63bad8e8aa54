from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from tokenward.errors import ExportError

PROPERTY = settings(max_examples=12, deadline=None, derandomize=True)
AXES = st.sampled_from(["sizes", "symbols", "nothing"])
SEEDS = st.integers(0, 2**16)
PAIRS = mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0, max_side=4)


def positive(rng, shape):
    return rng.uniform(0.5, 2.0, shape)


def away_from_zero(rng, shape):
    return positive(rng, shape) * rng.choice([-1.0, 1.0], shape)


@pytest.mark.parametrize(
    ("op", "like", "draw"),
    [
        ("Add", torch.add, away_from_zero),
        ("Sub", torch.sub, away_from_zero),
        ("Mul", torch.mul, away_from_zero),
        ("Div", torch.div, away_from_zero),
        ("Pow", torch.pow, positive),
        ("Mean", lambda a, b: (a + b) / 2, away_from_zero),
        ("Sum", torch.add, away_from_zero),
    ],
)
@PROPERTY
@given(pair=PAIRS, axes=AXES, seed=SEEDS)
def test_arithmetic_with_broadcasting(check_gradient, op, like, draw, pair, axes, seed):
    rng = np.random.default_rng(seed)
    x0, x1 = (draw(rng, shape) for shape in pair.input_shapes)
    check_gradient(f"y = {op}(x0, x1)", x0, x1, like=like, axes=axes)


@pytest.mark.parametrize(
    ("op", "like", "draw"),
    [
        ("Neg", torch.neg, away_from_zero),
        ("Abs", torch.abs, away_from_zero),
        ("Sqrt", torch.sqrt, positive),
        ("Reciprocal", torch.reciprocal, away_from_zero),
        ("Exp", torch.exp, away_from_zero),
        ("Log", torch.log, positive),
        ("Sin", torch.sin, away_from_zero),
        ("Cos", torch.cos, away_from_zero),
        ("Erf", torch.erf, away_from_zero),
        ("Identity", torch.clone, away_from_zero),
        ("Dropout", torch.clone, away_from_zero),
    ],
)
@PROPERTY
@given(shape=st.lists(st.integers(0, 5), max_size=3), axes=AXES, seed=SEEDS)
def test_functions_of_one_element(check_gradient, op, like, draw, shape, axes, seed):
    check_gradient(f"y = {op}(x0)", draw(np.random.default_rng(seed), shape), like=like, axes=axes)


@pytest.mark.parametrize("exponent", [2.0, 3.0, 0.5, -1.5])
def test_power_with_a_constant_exponent(check_gradient, exponent):
    x = positive(np.random.default_rng(0), (2, 3))
    check_gradient("y = Pow(x0, p)", x, like=lambda x: x**exponent, constants={"p": np.array(exponent)})


def test_square_of_negative_numbers(check_gradient):
    x = np.array([-2.0, -0.5, 0.0, 3.0])
    check_gradient("y = Pow(x0, p)", x, like=lambda x: x**2, constants={"p": np.array(2.0)})


def test_integer_exponents(check_gradient):
    x = np.array([-2.0, 0.5, 3.0])
    check_gradient("y = Pow(x0, x1)", x, np.array([1, 2, 3]), like=torch.pow)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("known", [True, False])
def test_powers_of_zero(check_gradient, exponent, known):
    x, p = np.array([0.0, -2.0, 3.0]), np.array(exponent)
    if known:
        check_gradient("y = Pow(x0, p)", x, like=lambda x: x**exponent, constants={"p": p})
    else:
        check_gradient("y = Pow(x0, x1)", x, p.astype(np.int64), like=torch.pow)


def test_power_with_an_exponent_of_another_precision(check_gradient):
    body = "h = Cast<to=11>(x0)  q = Exp(x1)  p = Pow(h, q)  y = Cast<to=OWN>(p)"
    x = positive(np.random.default_rng(0), (2, 2, 3))
    check_gradient(body, *x, like=lambda x, p: x ** p.exp())


@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_powers_of_zero_with_several_constant_exponents(check_gradient, dtype):
    x, p = np.array([[0.0, 0.0, 0.0], [-2.0, -2.0, -2.0]]), np.array([0, 2, 3], dtype)
    check_gradient("y = Pow(x0, p)", x, like=lambda x: x ** torch.tensor(p), constants={"p": p})


def test_powers_of_zero_in_both_base_and_exponent(gradients):
    x, p = np.array([0.0, 0.0, 0.0, 2.0]), np.array([0.0, 1.0, 2.0, 0.0])
    _, (dx, dp) = gradients("y = Pow(x0, x1)", x, p, seed=np.ones(4))
    assert dx.tolist() == [0, 1, 0, 0]
    np.testing.assert_allclose(dp, [0, 0, 0, np.log(2)], rtol=1e-6)


def test_gradient_of_one_factor_used_twice(check_gradient):
    x = np.random.default_rng(0).normal(size=(2, 3))
    check_gradient("y = Mul(x0, x0)", x, like=lambda x: x * x)


def test_cast_to_another_precision_and_back(check_gradient):
    body = "h = Cast<to=10>(x0)  d = Neg(h)  y = Cast<to=OWN>(d)"
    x = np.random.default_rng(0).integers(-8, 8, size=(2, 3)) / 4  # exact in half precision
    check_gradient(body, x, like=torch.neg)


def test_dropout_in_training_mode_is_refused(check_gradient):
    constants = {"ratio": np.array(0.5), "training": np.array(True)}
    with pytest.raises(ExportError, match="evaluation mode"):
        check_gradient("y = Dropout(x0, ratio, training)", np.ones(3), like=torch.clone, constants=constants)
