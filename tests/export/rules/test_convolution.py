from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from tokenward.errors import ExportError

PROPERTY = settings(max_examples=30, deadline=None, derandomize=True)


@PROPERTY
@given(
    batch=st.integers(1, 3),
    group=st.integers(1, 2),
    channels=st.integers(1, 2),
    outputs=st.integers(1, 3),
    length=st.integers(1, 6),
    half=st.integers(0, 2),
    dilation=st.integers(1, 2),
    axes=st.sampled_from(["sizes", "symbols", "nothing"]),
    seed=st.integers(0, 2**16),
)
def test_over_a_sequence(check_gradient, batch, group, channels, outputs, length, half, dilation, axes, seed):
    """As long as the input: what encoders do over their tokens. The bias varies, too."""
    rng = np.random.default_rng(seed)
    kernel, pad = rng.normal(size=(group * outputs, channels, 2 * half + 1)), half * dilation
    check_gradient(
        f"y = Conv<pads=[{pad}, {pad}], dilations=[{dilation}], group={group}>(x0, w, x1)",
        rng.normal(size=(batch, group * channels, length)),
        rng.normal(size=group * outputs),
        like=lambda x, b: functional.conv1d(x, torch.tensor(kernel), b, padding=pad, dilation=dilation, groups=group),
        constants={"w": kernel},
        axes=axes,
    )


def test_over_two_axes_without_pads_or_bias(check_gradient):
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 2, 2, 3))
    like = lambda x: functional.conv2d(x, torch.tensor(kernel))  # noqa: E731
    check_gradient("y = Conv(x0, w)", rng.normal(size=(2, 2, 4, 5)), like=like, constants={"w": kernel})


def test_uneven_pads(check_gradient):
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 2, 4))
    like = lambda x: functional.conv1d(functional.pad(x, (2, 1)), torch.tensor(kernel))  # noqa: E731
    body = "y = Conv<pads=[2, 1]>(x0, w)"
    check_gradient(body, rng.normal(size=(2, 2, 5)), like=like, constants={"w": kernel})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("y = Conv<strides=[2]>(x0, w)", "only strides of 1"),
        ('y = Conv<auto_pad="SAME_UPPER">(x0, w)', "only explicit pads"),
        ("y = Conv(w, x0)", "no gradient of the kernel"),
    ],
)
def test_uses_that_are_not_covered(gradients, body, message):
    with pytest.raises(ExportError, match=message):
        gradients(body, np.ones((1, 2, 3)), seed=np.ones((1, 1, 1)), constants={"w": np.ones((1, 2, 3))})
