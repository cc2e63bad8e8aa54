from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from tokenward.errors import ExportError

PROPERTY = settings(max_examples=15, deadline=None, derandomize=True)
AXES = st.sampled_from(["sizes", "symbols", "nothing"])


def shapes(number):
    return mutually_broadcastable_shapes(num_shapes=number, max_dims=3, min_side=0, max_side=4)


@PROPERTY
@given(given_shapes=shapes(3), axes=AXES, seed=st.integers(0, 2**16))
def test_where_with_broadcasting(check_gradient, given_shapes, axes, seed):
    rng = np.random.default_rng(seed)
    condition, a, b = (rng.normal(size=shape) for shape in given_shapes.input_shapes)
    check_gradient("y = Where(x0, x1, x2)", np.asarray(condition > 0), a, b, like=torch.where, axes=axes)


@pytest.mark.parametrize(("op", "like"), [("Max", torch.maximum), ("Min", torch.minimum)])
@PROPERTY
@given(given_shapes=shapes(2), axes=AXES, seed=st.integers(0, 2**16))
def test_larger_and_smaller_of_two(check_gradient, op, like, given_shapes, axes, seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.normal(size=shape) for shape in given_shapes.input_shapes)
    check_gradient(f"y = {op}(x0, x1)", a, b, like=like, axes=axes)


def test_largest_of_three(check_gradient):
    a, b, c = np.random.default_rng(0).normal(size=(3, 2, 4))
    check_gradient("y = Max(x0, x1, x2)", a, b, c, like=lambda *xs: torch.stack(xs).amax(0))


def test_ties_share_the_gradient(gradients):
    _, (a, b) = gradients("y = Max(x0, x1)", np.array([1.0, 2.0]), np.array([1.0, 0.0]), seed=np.array([4.0, 4.0]))
    assert (a.tolist(), b.tolist()) == ([2, 4], [2, 0])  # as PyTorch's maximum does


@pytest.mark.parametrize("opset", [13, 20])
@pytest.mark.parametrize(
    ("bounds", "low", "high"), [("low, high", -0.5, 0.5), ("low", -0.5, None), (",high", None, 0.5)]
)
def test_clip(check_gradient, bounds, low, high, opset):
    x = np.random.default_rng(0).normal(size=(4, 5))
    constants = {"low": np.array(-0.5), "high": np.array(0.5)}
    check_gradient(f"y = Clip(x0, {bounds})", x, like=lambda x: x.clamp(low, high), constants=constants, opset=opset)


def test_gradient_of_the_bounds_of_clip_is_refused(check_gradient):
    with pytest.raises(ExportError, match="no gradient of the bounds"):
        check_gradient("y = Clip(x0, x1)", np.zeros(3), np.array(0.5), like=torch.clamp)
