from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenward.errors import ExportError

PROPERTY = settings(max_examples=25, deadline=None, derandomize=True)
AXES = st.sampled_from(["sizes", "symbols", "nothing"])


def draw(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def take(axis):
    def like(x, index):
        flat = x.index_select(axis, index.reshape(-1) % x.shape[axis])
        return flat.reshape([*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]])

    return like


@PROPERTY
@given(data=st.data(), constant=st.booleans(), axes=AXES)
def test_gather_of_rows_some_more_than_once(check_gradient, data, constant, axes):
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    axis = data.draw(st.integers(0, len(shape) - 1))
    index_shape = data.draw(st.lists(st.integers(0, 3), max_size=2))
    rows = np.random.default_rng(0).integers(-shape[axis], shape[axis], index_shape)
    like = take(axis)
    if constant:
        check_gradient(
            f"y = Gather<axis={axis}>(x0, rows)",
            draw(shape),
            like=lambda x: like(x, torch.tensor(rows)),
            constants={"rows": np.array(rows)},
            axes=axes,
        )
    else:
        check_gradient(f"y = Gather<axis={axis}>(x0, x1)", draw(shape), np.array(rows), like=like, axes=axes)


@pytest.mark.parametrize("axes", ["sizes", "symbols", "nothing"])
@pytest.mark.parametrize("row", [0, 2, -1])
def test_gather_of_one_token_needs_no_scatter(check_gradient, row, axes):
    check_gradient(
        "y = Gather<axis=1>(x0, row)",
        draw((2, 3, 4)),
        like=lambda x: x[:, row],
        constants={"row": np.array(row)},
        axes=axes,
        opset=13,
    )


def test_gather_of_several_rows_needs_opset_16(check_gradient):
    with pytest.raises(ExportError, match="convert the model to opset 16 or newer"):
        check_gradient("y = Gather(x0, x1)", draw((3,)), np.array([0, 2]), like=take(0), opset=13)


@PROPERTY
@given(data=st.data(), axes=AXES)
def test_gather_elements(check_gradient, data, axes):
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    picked = [data.draw(st.integers(0, 3)) if i == axis % len(shape) else size for i, size in enumerate(shape)]
    index = np.random.default_rng(0).integers(-shape[axis], shape[axis], picked)
    check_gradient(
        f"y = GatherElements<axis={axis}>(x0, x1)",
        draw(shape),
        index,
        like=lambda x, index: x.gather(axis, index % x.shape[axis]),
        axes=axes,
    )


@pytest.mark.parametrize("axes", ["sizes", "symbols", "nothing"])
def test_gather_nd_of_the_last_token_of_each_text(check_gradient, axes):
    last = np.array([[0, 3], [1, 0], [2, 3]])
    check_gradient("y = GatherND(x0, x1)", draw((3, 4, 2)), last, like=lambda x, i: x[i[:, 0], i[:, 1]], axes=axes)


def test_gather_nd_adds_where_an_element_is_read_twice(check_gradient):
    check_gradient("y = GatherND(x0, x1)", draw((3,)), np.array([[1], [1], [0]]), like=lambda x, i: x[i[:, 0]])


def test_gather_nd_with_batch_axes_is_refused(check_gradient):
    with pytest.raises(ExportError, match="batch_dims"):
        check_gradient(
            "y = GatherND<batch_dims=1>(x0, x1)",
            draw((2, 3)),
            np.array([[0], [1]]),
            like=lambda x, i: x.gather(1, i)[:, 0],
        )
