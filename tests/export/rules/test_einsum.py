from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenward.errors import ExportError

PROPERTY = settings(max_examples=60, deadline=None, derandomize=True)
AXES = st.sampled_from(["sizes", "symbols", "nothing"])


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 2, 5)]),
        ("bij,jk->bik", [(2, 3, 4), (4, 5)]),
        ("ij,ij->i", [(3, 4), (3, 4)]),
        ("ij->j", [(3, 4)]),
        ("ij,kl->il", [(2, 3), (4, 5)]),
        ("ij,jk", [(2, 3), (3, 4)]),
        ("a,b,ab->", [(2,), (3,), (2, 3)]),
    ],
)
@pytest.mark.parametrize("axes", ["sizes", "nothing"])
def test_einsum(check_gradient, equation, shapes, axes):
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=shape) for shape in shapes]
    names = ", ".join(f"x{i}" for i in range(len(inputs)))
    body = f'y = Einsum<equation="{equation}">({names})'
    check_gradient(body, *inputs, like=lambda *xs: torch.einsum(equation, *xs), axes=axes)


def test_einsum_over_a_diagonal_is_refused(check_gradient):
    with pytest.raises(ExportError, match="index repeated in one term"):
        check_gradient('y = Einsum<equation="ii->i">(x0)', np.eye(3), like=lambda x: torch.einsum("ii->i", x))


@PROPERTY
@given(data=st.data(), axes=AXES, seed=st.integers(0, 2**16))
def test_indices_of_size_one_are_stretched(check_gradient, data, axes, seed):
    sizes = {letter: data.draw(st.integers(1, 4)) for letter in "abc"}
    terms = data.draw(st.lists(st.permutations("abc").map("".join), min_size=1, max_size=2))
    terms = [term[: data.draw(st.integers(1, 3))] for term in terms]
    letters = sorted(set("".join(terms)))
    output = "".join(data.draw(st.lists(st.sampled_from(letters), unique=True)))
    shapes = [[data.draw(st.sampled_from([1, sizes[letter]])) for letter in term] for term in terms]
    rng = np.random.default_rng(seed)
    inputs = [rng.normal(size=shape) for shape in shapes]
    equation = f"{','.join(terms)}->{output}"
    body = f'y = Einsum<equation="{equation}">({", ".join(f"x{i}" for i in range(len(inputs)))})'
    check_gradient(body, *inputs, like=lambda *xs: torch.einsum(equation, *xs), axes=axes)


@pytest.mark.parametrize(
    ("equation", "left", "right"),
    [
        ("ij,ij->ij", (1, 4), (3, 4)),
        ("bij,bjk->bik", (1, 3, 4), (2, 4, 2)),
        ("ij,ij->i", (3, 4), (3, 1)),
        ("ij,ij->", (1, 1), (3, 1)),
    ],
)
@pytest.mark.parametrize("axes", ["sizes", "symbols", "nothing"])
def test_an_operand_that_is_stretched(check_gradient, equation, left, right, axes):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=left), rng.normal(size=right)
    body = f'y = Einsum<equation="{equation}">(x0, x1)'
    check_gradient(body, a, b, like=lambda a, b: torch.einsum(equation, a, b), axes=axes)


@pytest.mark.parametrize("axes", ["sizes", "symbols"])
def test_what_is_computed_from_a_stretched_operand(check_gradient, axes):
    rng = np.random.default_rng(0)
    a, b, c = (rng.normal(size=shape) for shape in ((1, 4), (3, 4), (3, 4)))
    body = 'h = Einsum<equation="ij,ij->ij">(x1, x0)  k = Mul(h, h)  y = Add(k, x2)'
    check_gradient(body, a, b, c, like=lambda a, b, c: (a * b) ** 2 + c, axes=axes)


@pytest.mark.parametrize("axes", ["sizes", "symbols"])
def test_a_wrongly_annotated_intermediate_is_refused(check_gradient, axes):
    # Shape inference, onnxruntime's too, says [1, 4] for h and k; the second would fold a Shape of k to that.
    a, b, c = (np.ones(shape) for shape in ((1, 4), (3, 4), (3, 4)))
    body = 'h = Einsum<equation="ij,ij->ij">(x0, x1)  k = Mul(h, h)  y = Add(k, x2)'
    with pytest.raises(ExportError, match="put the input of the larger size first"):
        check_gradient(body, a, b, c, like=lambda a, b, c: (a * b) ** 2 + c, axes=axes)
