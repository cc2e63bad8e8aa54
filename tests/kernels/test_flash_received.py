"""Attention and attention received against dense attention in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tokenward.errors import InputError
from tokenward.kernels.flash_received import add_received, attend
from tokenward.kernels.reference import attention_received, class_attention
from tokenward.kernels.segments import Segments

# Of the largest value. Half precision rounds the output and, in the product with V, the probabilities.
TOLERANCE = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}
# Of each probability, which stays in float32 in every precision.
EXACT = 2e-5


def dense(q: torch.Tensor, k: torch.Tensor, scale: float, q_lengths: list[int], lengths: list[int]) -> np.ndarray:
    """Probabilities [B, H, S, S] in float64 of packed queries and keys, 0 at padding."""
    S, H = max(lengths), q.shape[1]
    probabilities = np.zeros((len(lengths), H, S, S))
    parts = zip(q.double().cpu().split(q_lengths), k.double().cpu().split(lengths), strict=True)
    for b, (queries, keys) in enumerate(parts):
        p = torch.softmax(torch.einsum("ihd,jhd->hij", queries, keys) * scale, dim=-1)
        probabilities[b, :, : p.shape[1], : p.shape[2]] = p.numpy()
    return probabilities


def check(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    scale: float,
    lengths: list[int],
    tolerance: float,
    exact: float = EXACT,
) -> None:
    """Output, log-sum-exp and attention received of packed texts."""
    texts = Segments.packed(lengths, q.device)
    received = torch.zeros(q.shape[1], len(q), device=q.device)
    output, lse = attend(q, k, v, scale, texts, texts)
    add_received(q, k, lse, scale, texts, texts, received)
    probabilities = dense(q, k, scale, lengths, lengths)
    mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
    expected = np.zeros((*mask.shape, *q.shape[1:]))
    expected[mask] = v.double().cpu().numpy()
    expected = np.einsum("bhij,bjhd->bihd", probabilities, expected)[mask]
    np.testing.assert_allclose(output.double().cpu(), expected, rtol=0, atol=tolerance * np.abs(expected).max())
    r = received.mean(0).double().cpu().numpy()
    np.testing.assert_allclose(r, attention_received(probabilities[None], mask)[mask], rtol=exact, atol=1e-7)
    totals = [part.sum() for part in np.split(r, np.cumsum(lengths)[:-1])]
    np.testing.assert_allclose(totals, lengths, rtol=exact)
    logits = [
        torch.einsum("ihd,jhd->hij", a, b) * scale
        for a, b in zip(q.double().cpu().split(lengths), k.double().cpu().split(lengths), strict=True)
    ]
    expected_lse = torch.cat([torch.logsumexp(x, dim=-1) for x in logits], dim=1)
    np.testing.assert_allclose(lse.double().cpu(), expected_lse, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize(
    ("H", "D", "lengths"),
    [(1, 5, [17, 129, 1, 2]), (3, 5, [2, 1]), (1, 64, [65, 17]), (12, 32, [129]), (3, 128, [17, 70])],
)
def test_odd_lengths_together(H: int, D: int, lengths: list[int], packed_qkv: Any, fences: Any):
    q, k, v = packed_qkv(sum(lengths), H, D)
    with fences:
        check(q, k, v, D**-0.5, lengths, TOLERANCE[torch.float32])


@pytest.mark.parametrize("S", [1, 2, 17, 64, 65])
def test_one_text(S: int, packed_qkv: Any, fences: Any):
    q, k, v = packed_qkv(S, 3, 5)
    with fences:
        check(q, k, v, 0.5, [S], TOLERANCE[torch.float32])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype, packed_qkv: Any, fences: Any):
    lengths = [17, 70]
    q, k, v = packed_qkv(sum(lengths), 3, 64, dtype)
    with fences:
        check(q, k, v, 0.125, lengths, TOLERANCE[dtype])


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_large_logits(sign: float, device: str):
    """Logits of ±1e4: nothing overflows, and attention is shared by the keys that tie.

    The log-sum-exp keeps 1e4 to half a thousandth, so that is how well probabilities are known.
    """
    k = torch.ones(17, 1, 5, device=device) * sign * 100
    k[[3, 8, 9]] *= -1
    q = torch.full_like(k, 20.0)
    v = torch.arange(17.0, device=device)[:, None, None].expand(17, 1, 5).contiguous()
    winners = (q * k).sum(-1).flatten() > 0
    texts = Segments.packed([17], device)
    received = torch.zeros(1, 17, device=device)
    output, lse = attend(q, k, v, 1.0, texts, texts)
    add_received(q, k, lse, 1.0, texts, texts, received)
    torch.testing.assert_close(output, v[winners].mean(0).expand_as(output), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(received[0], winners * 17 / winners.sum(), rtol=1e-3, atol=0)


def test_large_random_logits(packed_qkv: Any):
    q, k, v = packed_qkv(33, 1, 5, scale=60.0)
    check(q, k, v, 1.0, [17, 16], 2e-3, 2e-3)


def test_logits_far_below_zero(device: str):
    """Keys beyond a text have a logit of 0; when all real ones are −1e4, they must not win."""
    q = torch.full((3, 1, 5), 100.0, device=device)
    check(q, -q / 5, torch.randn(3, 1, 5, device=device), 1.0, [1, 2], 1e-3, 1e-3)


def test_padded_batch_equals_packed(device: str, packed_qkv: Any):
    """The rows between texts hold NaN and do not matter."""
    lengths, width = [5, 17, 1], 20
    q, k, v = packed_qkv(sum(lengths), 3, 5)
    inside = (torch.arange(width) < torch.tensor(lengths)[:, None]).flatten().to(device)
    wide = []
    for tensor in (q, k, v):
        padded = torch.full((len(lengths) * width, 3, 5), float("nan"), device=device)
        padded[inside] = tensor
        wide.append(padded)
    packed, padded = Segments.packed(lengths, device), Segments.padded(lengths, width, device)
    output, lse = attend(q, k, v, 0.3, packed, packed)
    wide_output, wide_lse = attend(*wide, 0.3, padded, padded)
    assert torch.equal(wide_output[inside], output)
    assert torch.equal(wide_lse[:, inside], lse)


def test_layers_accumulate(device: str, packed_qkv: Any):
    lengths = [9, 4]
    texts, mask = Segments.packed(lengths, device), np.arange(9) < np.array(lengths)[:, None]
    received = torch.zeros(3, 13, device=device)
    layers = []
    for layer in range(2):
        q, k, v = packed_qkv(13, 3, 5 + layer)
        _, lse = attend(q, k, v, 1.0, texts, texts)
        add_received(q, k, lse, 1.0, texts, texts, received)
        layers.append(dense(q, k, 1.0, lengths, lengths))
    expected = attention_received(np.stack(layers), mask)[mask]
    np.testing.assert_allclose((received.mean(0) / 2).cpu(), expected, rtol=1e-5)


def test_class_tokens_as_the_only_queries(device: str, packed_qkv: Any):
    lengths = [17, 1, 70]
    q, k, v = packed_qkv(sum(lengths), 3, 5)
    keys = Segments.packed(lengths, device)
    first, alone = q[keys.starts.long()], Segments.packed([1] * 3, device)
    received = torch.zeros(3, sum(lengths), device=device)
    output, lse = attend(first, k, v, 0.4, alone, keys)
    whole, _ = attend(q, k, v, 0.4, keys, keys)
    torch.testing.assert_close(output, whole[keys.starts.long()], rtol=1e-5, atol=1e-6)
    add_received(first, k, lse, 0.4, alone, keys, received)
    mask = np.arange(70) < np.array(lengths)[:, None]
    expected = class_attention(dense(q, k, 0.4, lengths, lengths)[None], mask)[mask]
    np.testing.assert_allclose(received.mean(0).cpu(), expected, rtol=1e-5)


def test_queries_without_keys_look_at_nothing(packed_qkv: Any, fences: Any):
    q, k, v = packed_qkv(9, 3, 5)
    queries, keys = Segments.packed([4, 5], q.device), Segments.packed([0, 5], q.device)
    with fences:
        output, lse = attend(q, k, v, 0.4, queries, keys)
    assert not output[:4].any()
    assert (lse[:, :4] == float("-inf")).all()
    assert output[4:].isfinite().all()


def test_class_tokens_picked_out_of_all_queries(packed_qkv: Any, fences: Any):
    """A layer that runs whole has computed everything: its class tokens are the queries of one row a text."""
    lengths = [17, 1, 70]
    q, k, v = packed_qkv(sum(lengths), 3, 5)
    with fences:
        texts, received = Segments.packed(lengths, q.device), torch.zeros(3, sum(lengths), device=q.device)
        _, lse = attend(q, k, v, 0.4, texts, texts)
        add_received(q, k, lse, 0.4, Segments.of(texts.starts.tolist(), [1] * 3, q.device), texts, received)
    mask = np.arange(70) < np.array(lengths)[:, None]
    expected = class_attention(dense(q, k, 0.4, lengths, lengths)[None], mask)[mask]
    np.testing.assert_allclose(received.mean(0).cpu(), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"q": torch.zeros(4, 2, 3, dtype=torch.float64)}, "'q' is float64"),
        ({"q": torch.zeros(4, 3, 2).transpose(1, 2)}, "'q' is not contiguous"),
        ({"q": torch.zeros(4, 6)}, "'q' has shape \\[4, 6\\], expected \\[any, any, any\\]"),
        ({"q": torch.zeros(4, 2, 200)}, "'q' has shape \\[4, 2, 200\\], expected \\[4, 2, 128\\]"),
        ({"k": torch.zeros(4, 2, 3, dtype=torch.float16)}, "'k' is float16, expected float32"),
        ({"k": torch.tensor(1.0)}, "'k' has shape \\[\\], expected \\[any, 2, 3\\]"),
        ({"v": torch.zeros(5, 2, 3)}, "'v' has shape"),
        ({"v": torch.zeros(4, 2, 3, device="meta")}, "'v' is on meta"),
        ({"queries": Segments.of([2], [3], "cpu")}, "'queries' reaches to row 5"),
        ({"keys": Segments.packed([2, 2], "cpu")}, "'queries' holds 1 texts, expected 2"),
    ],
)
def test_bad_input_is_named_before_the_launch(change: dict[str, Any], message: str):
    text = Segments.packed([4], "cpu")
    arguments = {name: torch.zeros(4, 2, 3) for name in "qkv"} | {"queries": text, "keys": text}
    with pytest.raises(InputError, match=message):
        attend(**{**arguments, **change}, scale=1.0)
