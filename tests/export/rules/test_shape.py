from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

PROPERTY = settings(max_examples=20, deadline=None, derandomize=True)
AXES = st.sampled_from(["sizes", "symbols", "nothing"])
SHAPES = st.lists(st.integers(1, 4), max_size=4)


def draw(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@PROPERTY
@given(shape=st.lists(st.integers(0, 4), min_size=1, max_size=4), data=st.data(), axes=AXES)
def test_reshape_to_any_grouping_of_the_axes(check_gradient, shape, data, axes):
    cut = data.draw(st.integers(0, len(shape)))
    target = [math.prod(shape[:cut]), *shape[cut:]]
    if data.draw(st.booleans()) and 0 not in shape:
        target[0] = -1
    check_gradient(
        "y = Reshape<allowzero=1>(x0, x1)",
        draw(shape),
        np.array(target),
        like=lambda x, target: x.reshape(target.tolist()),
        axes=axes,
    )


def test_reshape_splits_heads_of_symbolic_batch_and_sequence(check_gradient):
    check_gradient(
        "y = Reshape(x0, shape)",
        draw((3, 5, 8)),
        like=lambda x: x.reshape(3, 5, 2, 4),
        constants={"shape": np.array([0, 0, 2, 4])},
    )


def test_reshape_folds_heads_into_the_batch(check_gradient):
    check_gradient(
        "y = Reshape(x0, shape)",
        draw((3, 2, 5, 4)),
        like=lambda x: x.reshape(6, 5, 4),
        constants={"shape": np.array([-1, 5, 4])},
    )


@PROPERTY
@given(shape=SHAPES, data=st.data(), axes=AXES)
def test_transpose(check_gradient, shape, data, axes):
    perm = data.draw(st.permutations(range(len(shape))))
    attribute = f"<perm={list(perm)}>" if perm else ""
    check_gradient(f"y = Transpose{attribute}(x0)", draw(shape), like=lambda x: x.permute(perm), axes=axes)


def test_transpose_reverses_the_axes_by_default(check_gradient):
    check_gradient("y = Transpose(x0)", draw((2, 3, 4)), like=lambda x: x.permute(2, 1, 0))


@pytest.mark.parametrize("axes", ["sizes", "symbols", "nothing"])
@pytest.mark.parametrize("axis", [0, 1, -1, 3])
def test_flatten(check_gradient, axis, axes):
    like = lambda x: x.reshape(math.prod(x.shape[: axis % 3 if axis < 3 else 3]), -1)  # noqa: E731
    check_gradient(f"y = Flatten<axis={axis}>(x0)", draw((2, 3, 4)), like=like, axes=axes)


@pytest.mark.parametrize("axes", ["sizes", "symbols"])
@pytest.mark.parametrize("opset", [13, 20])
@pytest.mark.parametrize("batch", [2, 0])
def test_squeeze_and_unsqueeze(check_gradient, batch, opset, axes):
    x = draw((batch, 1, 3, 1))
    check_gradient(
        "y = Squeeze(x0, a)",
        x,
        like=lambda x: x.squeeze(1),
        constants={"a": np.array([1])},
        axes=axes,
        opset=opset,
    )
    check_gradient(
        "y = Unsqueeze(x0, a)",
        x,
        like=lambda x: x.unsqueeze(1).unsqueeze(-1),
        constants={"a": np.array([1, -1])},
        axes=axes,
        opset=opset,
    )


def test_squeeze_of_every_axis_of_size_one(check_gradient):
    check_gradient("y = Squeeze(x0)", draw((2, 1, 3, 1)), like=torch.squeeze, axes="sizes")


@PROPERTY
@given(shape=SHAPES, lead=st.lists(st.integers(1, 3), max_size=2), data=st.data(), axes=AXES)
def test_expand(check_gradient, shape, lead, data, axes):
    target = [*lead, *(data.draw(st.integers(0, 4)) if size == 1 else size for size in shape)]
    check_gradient(
        "y = Expand(x0, x1)",
        draw(shape),
        np.array(target, np.int64),
        like=lambda x, target: x.expand(target.tolist()),
        axes=axes,
    )


@PROPERTY
@given(shape=st.lists(st.integers(0, 4), min_size=1, max_size=3), data=st.data(), axes=AXES)
def test_tile(check_gradient, shape, data, axes):
    repeats = data.draw(st.lists(st.integers(1, 3), min_size=len(shape), max_size=len(shape)))
    check_gradient(
        "y = Tile(x0, x1)", draw(shape), np.array(repeats), like=lambda x, r: x.repeat(r.tolist()), axes=axes
    )
