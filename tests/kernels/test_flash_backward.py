"""Gradients of attention against autograd in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tokenward.errors import InputError
from tokenward.kernels.flash_backward import Gradients, Saved, flash_backward
from tokenward.kernels.flash_received import add_received, attend
from tokenward.kernels.segments import Segments

# Of the largest gradient. In half precision P, dS and the saved output are rounded before they are multiplied.
TOLERANCE = {torch.float32: 5e-6, torch.float16: 4e-3, torch.bfloat16: 3e-2}


def expected(qkv: Any, d_output: Any, scale: float, lengths: list[int], q_lengths: list[int]) -> list[Any]:
    """dQ, dK, dV of packed texts by autograd in float64."""
    leaves = [x.double().cpu().requires_grad_() for x in qkv]
    parts = zip(leaves[0].split(q_lengths), leaves[1].split(lengths), leaves[2].split(lengths), strict=True)
    outputs = [
        torch.einsum("hij,jhd->ihd", torch.softmax(torch.einsum("ihd,jhd->hij", a, b) * scale, -1), c)
        for a, b, c in parts
    ]
    return list(torch.autograd.grad(torch.cat(outputs), leaves, d_output.double().cpu()))


def check(
    q: Any, k: Any, v: Any, scale: float, lengths: list[int], q_lengths: list[int] | None, fences: Any, tolerance: float
) -> None:
    q_lengths = q_lengths or lengths
    keys, queries = Segments.packed(lengths, q.device), Segments.packed(q_lengths, q.device)
    generator = torch.Generator().manual_seed(7)
    d_output = fences.around(torch.randn(q.shape, generator=generator).to(q.dtype).to(q.device))
    with fences:
        output, lse = attend(q, k, v, scale, queries, keys)
        into = Gradients(torch.empty_like(d_output), *torch.empty(2, *k.shape, dtype=k.dtype, device=k.device))
        received = torch.zeros(k.shape[1], k.shape[0], device=q.device)
        flash_backward(d_output, Saved(q, k, v, output, lse), scale, queries, keys, into, queries, keys, received)
    wanted = expected((q, k, v), d_output, scale, lengths, q_lengths)
    largest = max(x.abs().max() for x in wanted).item()
    for found, exact in zip(into, wanted, strict=True):
        torch.testing.assert_close(found.double().cpu(), exact, rtol=0, atol=tolerance * max(largest, 1e-30))
    by_columns = torch.zeros_like(received)
    add_received(q, k, lse, scale, queries, keys, by_columns)
    torch.testing.assert_close(received, by_columns, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("H", "D", "lengths"),
    [(1, 5, [17, 129, 1, 2]), (3, 5, [2, 1]), (1, 64, [65, 17]), (12, 32, [129]), (3, 128, [17, 70])],
)
def test_odd_lengths_together(H: int, D: int, lengths: list[int], packed_qkv: Any, fences: Any):
    check(*packed_qkv(sum(lengths), H, D), D**-0.5, lengths, None, fences, TOLERANCE[torch.float32])


@pytest.mark.parametrize("S", [1, 2, 17, 64, 65])
def test_one_text(S: int, packed_qkv: Any, fences: Any):
    check(*packed_qkv(S, 3, 5), 0.5, [S], None, fences, TOLERANCE[torch.float32])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype, packed_qkv: Any, fences: Any):
    check(*packed_qkv(87, 3, 64, dtype), 0.125, [17, 70], None, fences, TOLERANCE[dtype])


def test_large_logits(packed_qkv: Any, fences: Any):
    """Logits around ±1e4, which float32 keeps to half a thousandth."""
    check(*packed_qkv(33, 1, 5, scale=60.0), 1.0, [17, 16], None, fences, 5e-3)


def test_logits_far_below_zero(device: str, fences: Any):
    """Beyond a text, exp(0 − lse) overflows when all real logits are −1e4; it must not spread."""
    q = torch.full((3, 1, 5), 100.0, device=device)
    k = -q / 5
    k[1] *= 1.0001
    check(q, k, torch.randn(3, 1, 5, device=device), 1.0, [1, 2], None, fences, 5e-3)


def test_class_tokens_as_the_only_queries(device: str, packed_qkv: Any, fences: Any):
    lengths = [17, 1, 70]
    q, k, v = packed_qkv(sum(lengths), 3, 5)
    first = q[Segments.packed(lengths, device).starts.long()]
    check(first, k, v, 0.4, lengths, [1, 1, 1], fences, TOLERANCE[torch.float32])


def test_some_texts_only(device: str, packed_qkv: Any):
    """Chosen texts are found where the forward pass left them; the others' gradients are not made."""
    lengths, chosen = [5, 17, 2, 9], [3, 1]
    q, k, v = packed_qkv(sum(lengths), 3, 5)
    everything = Segments.packed(lengths, device)
    output, lse = attend(q, k, v, 0.5, everything, everything)
    saved = Saved(q, k, v, output, lse)
    d_output = torch.randn(q.shape, generator=torch.Generator().manual_seed(1)).to(device)
    whole = Gradients(*torch.empty(3, *q.shape, device=device))
    received = torch.zeros(3, len(q), device=device)
    flash_backward(d_output, saved, 0.5, everything, everything, whole, everything, everything, received)

    starts = everything.starts.tolist()
    part = Segments.of([starts[b] for b in chosen], [lengths[b] for b in chosen], device)
    compact = Segments.packed([lengths[b] for b in chosen], device)
    rows = torch.cat([torch.arange(starts[b], starts[b] + lengths[b]) for b in chosen]).to(device)
    some = Gradients(*torch.empty(3, len(rows), 3, 5, device=device))
    partly = torch.zeros_like(received)
    flash_backward(d_output[rows], saved, 0.5, part, part, some, compact, compact, partly)
    for found, full in zip(some, whole, strict=True):
        assert torch.equal(found, full[rows])
    assert torch.equal(partly[:, rows], received[:, rows])
    assert partly.count_nonzero() == 3 * len(rows)


def test_a_poisoned_text_does_not_reach_its_neighbours(device: str, packed_qkv: Any):
    lengths = [5, 17, 3]
    texts = Segments.packed(lengths, device)

    def gradients(q: Any, k: Any, v: Any) -> torch.Tensor:
        output, lse = attend(q, k, v, 0.5, texts, texts)
        into = torch.empty(3, *q.shape, device=device)
        received = torch.zeros(3, len(q), device=device)
        flash_backward(
            torch.ones_like(output),
            Saved(q, k, v, output, lse),
            0.5,
            texts,
            texts,
            Gradients(*into),
            texts,
            texts,
            received,
        )
        return into

    q, k, v = packed_qkv(sum(lengths), 3, 5)
    clean = gradients(q, k, v)
    k = k.clone()
    k[7] = float("nan")
    poisoned = gradients(q, k, v)
    assert poisoned[:, 5:22].isnan().any()
    assert torch.equal(poisoned[:, :5], clean[:, :5])
    assert torch.equal(poisoned[:, 22:], clean[:, 22:])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"d_output": torch.zeros(4, 2, 3, dtype=torch.float16)},
            "of the output' is float16, expected float32",
        ),
        ({"d_output": torch.zeros(4, 3, 2).transpose(1, 2)}, "of the output' is not contiguous"),
        ({"d_output": torch.tensor(1.0)}, "of the output' has shape \\[\\], expected \\[4, 2, 3\\]"),
        ({"received": torch.zeros(2, 5)}, "'received' has shape"),
        ({"d_keys": Segments.packed([2, 2], "cpu")}, "'queries' holds 1 texts"),
        ({"d_queries": Segments.of([3], [4], "cpu")}, "'queries' reaches to row 7"),
    ],
)
def test_bad_input_is_named_before_the_launch(change: dict[str, Any], message: str):
    text, x = Segments.packed([4], "cpu"), torch.zeros(4, 2, 3)
    arguments = {
        "d_output": x,
        "saved": Saved(x, x, x, x, torch.zeros(2, 4)),
        "into": Gradients(x.clone(), x.clone(), x.clone()),
        "received": torch.zeros(2, 4),
        **dict.fromkeys(("queries", "keys", "d_queries", "d_keys"), text),
    }
    with pytest.raises(InputError, match=message):
        flash_backward(**{**arguments, **change}, scale=1.0)
