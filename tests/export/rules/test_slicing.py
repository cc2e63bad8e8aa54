from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from tokenward.errors import ExportError

PROPERTY = settings(max_examples=25, deadline=None, derandomize=True)
AXES = st.sampled_from(["sizes", "symbols", "nothing"])
FAR = 2**62  # how exporters write "to the end"


def draw(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def picked(size, start, end, step):
    """Positions that ONNX's Slice reads; a walk backwards told to start before 0 starts at 0, unlike in Python."""
    start, end = (bound + size if bound < 0 else bound for bound in (start, end))
    if step > 0:
        return list(range(min(max(start, 0), size), min(max(end, 0), size), step))
    return list(range(min(max(start, 0), size - 1), min(max(end, -1), size - 1), step))


@PROPERTY
@given(data=st.data(), axes=AXES)
def test_slices_of_several_axes_with_steps(check_gradient, data, axes):
    shape = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    sliced = data.draw(st.lists(st.sampled_from(range(len(shape))), min_size=1, max_size=len(shape), unique=True))
    bound = st.integers(-7, 7)
    starts, ends = ([data.draw(bound | st.sampled_from([FAR, -FAR])) for _ in sliced] for _ in range(2))
    steps = [data.draw(st.sampled_from([1, 1, 2, 3, -1, -2])) for _ in sliced]
    named = [axis - len(shape) if data.draw(st.booleans()) else axis for axis in sliced]

    def like(x, *_):
        for axis, start, end, step in zip(sliced, starts, ends, steps, strict=True):
            x = x.index_select(axis, torch.tensor(picked(x.shape[axis], start, end, step), dtype=torch.int64))
        return x

    check_gradient(
        "y = Slice(x0, x1, x2, axes, steps)",
        draw(shape),
        np.array(starts),
        np.array(ends),
        like=like,
        constants={"axes": np.array(named), "steps": np.array(steps)},
        axes=axes,
    )


def test_slice_of_the_leading_axes_by_default(check_gradient):
    check_gradient(
        "y = Slice(x0, starts, ends)",
        draw((4, 5, 2)),
        like=lambda x: x[1:3, 0:4],
        constants={"starts": np.array([1, 0]), "ends": np.array([3, -1])},
    )


@pytest.mark.parametrize("step", [1, -2])
@pytest.mark.parametrize("known", [True, False])
def test_slice_with_bounds_of_32_bits(check_gradient, step, known):
    bounds = [np.array([bound], np.int32) for bound in ((1, 4) if step > 0 else (-1, -100))]
    inputs, names = ([], "s, e") if known else (bounds, "x1, x2")
    places = picked(5, *(int(bound[0]) for bound in bounds), step)
    check_gradient(
        f"y = Slice(x0, {names}, a, t)",
        draw((2, 5)),
        *inputs,
        like=lambda x, *_: x[:, places],
        constants={name: np.asarray(n, np.int32) for name, n in zip("seat", [*bounds, [-1], [step]], strict=True)},
    )


def test_slice_with_steps_known_only_at_run_time_is_refused(check_gradient):
    with pytest.raises(ExportError, match="steps are computed while the graph runs"):
        check_gradient(
            "y = Slice(x0, s, e, a, x1)",
            draw((4,)),
            np.array([2]),
            like=lambda x, _: x[::2],
            constants={"s": np.array([0]), "e": np.array([FAR]), "a": np.array([0])},
        )


@PROPERTY
@given(data=st.data(), axes=AXES)
def test_concat(check_gradient, data, axes):
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    sizes = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=3))
    parts = [draw([size if i == axis % len(shape) else d for i, d in enumerate(shape)], size) for size in sizes]
    names = ", ".join(f"x{i}" for i in range(len(parts)))
    check_gradient(f"y = Concat<axis={axis}>({names})", *parts, like=lambda *xs: torch.cat(xs, axis), axes=axes)


@PROPERTY
@given(data=st.data(), axes=AXES)
def test_split_with_parts_nobody_uses(check_gradient, data, axes):
    sizes = data.draw(st.lists(st.integers(0, 3), min_size=2, max_size=4))
    used = data.draw(st.lists(st.sampled_from(range(len(sizes))), min_size=1, unique=True))
    outputs = ", ".join(f"p{i}" for i in range(len(sizes)))
    joined = ", ".join(f"p{i}" for i in used)
    check_gradient(
        f"{outputs} = Split<axis=1>(x0, sizes)  y = Concat<axis=1>({joined})",
        draw((2, sum(sizes), 3)),
        like=lambda x: torch.cat([x.split(sizes, 1)[i] for i in used], 1),
        constants={"sizes": np.array(sizes)},
        axes=axes,
    )


@pytest.mark.parametrize("axes", ["sizes", "symbols", "nothing"])
def test_split_by_number_of_outputs(check_gradient, axes):
    check_gradient(
        "a, b = Split<axis=-1, num_outputs=2>(x0)  y = Mul(a, b)",
        draw((2, 6)),
        like=lambda x: x[:, :3] * x[:, 3:],
        axes=axes,
    )


@pytest.mark.parametrize("axes", ["sizes", "symbols", "nothing"])
def test_pad(check_gradient, axes):
    check_gradient(
        "y = Pad(x0, pads)",
        draw((2, 3)),
        like=lambda x: functional.pad(x, (2, 1, 0, 3)),
        constants={"pads": np.array([0, 2, 3, 1])},
        axes=axes,
    )


@pytest.mark.parametrize("pads", [(0, -2, 0, 1), (0, 0, 0, -1), (-1, 2, 1, -1), (0, -3, 0, 0), (0, -3, 0, 5)])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("axes", ["sizes", "symbols", "nothing"])
def test_pad_that_crops(check_gradient, pads, known, axes):
    top, left, bottom, right = pads
    check_gradient(
        "h = Mul(x0, x0)  y = Pad(h, pads)" if known else "h = Mul(x0, x0)  y = Pad(h, x1)",
        draw((2, 3)),
        *([] if known else [np.array(pads)]),
        like=lambda x, *_: functional.pad(functional.pad(x * x, (left, 0, top, 0)), (0, right, 0, bottom)),
        constants={"pads": np.array(pads)},
        axes=axes,
    )


def test_the_gradient_of_what_a_pad_puts_there_is_refused(check_gradient):
    with pytest.raises(ExportError, match="no gradient of the constant value"):
        check_gradient(
            "y = Pad(x0, pads, x1)",
            draw((3,)),
            np.array(1.5),
            like=lambda x, value: torch.cat([value[None], x]),
            constants={"pads": np.array([1, 0])},
        )


def test_reflecting_pad_is_refused(check_gradient):
    with pytest.raises(ExportError, match="only mode 'constant'"):
        check_gradient(
            'y = Pad<mode="reflect">(x0, pads)',
            draw((4,)),
            like=lambda x: functional.pad(x[None], (1, 1), mode="reflect")[0],
            constants={"pads": np.array([1, 1])},
        )
