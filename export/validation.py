"""Parity of a guarded graph with its source model, on the file that will be served and as it will be served.

Shapes differ from the one the graph was traced with; batches are padded; the session is the optimised one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifact import Pooling
from ..errors import ExportError
from ..kernels import reference
from ..kernels.reference import Bools, Real
from .ground_truth import Feed, GroundTruth, Truth
from .presets import Plan
from .session import run_graph, serving_session

TOLERANCE = 1e-4
_LONGEST = 2048
_GRADIENT = ("saliency", "token_scores", "anomaly_score")


def validate(
    path: Path,
    truth: GroundTruth,
    plan: Plan,
    pooling: Pooling,
    table: NDArray[np.bool_],
    pad_id: int,
    max_tokens: int,
) -> dict[str, float]:
    """Return the largest relative error of every output; relative to the largest value of the output in the batch.

    Args:
        path: the guarded graph in fp32.
        table: which vocabulary entries are scored, bool [vocabulary].

    Raises:
        ExportError: an output is not finite or is off by more than the tolerance; the message says which and where.
    """
    session = serving_session(path)
    worst: dict[str, float] = {}
    for feed in random_batches(truth.shapes, table, pad_id, max_tokens, _takes_types(session)):
        got = run_graph(session, feed)
        expected = expected_outputs(truth(feed), feed, plan, pooling, table)
        shape = "batch {} × {} tokens".format(*feed["input_ids"].shape)
        for name, value in expected.items():
            if not np.isfinite(got[name]).all():
                raise ExportError(f"the guarded graph gives {name} that is not finite at {shape}: it would not be safe")
            error = relative_error(got[name], value)
            allowed = truth.tolerance if name in _GRADIENT else TOLERANCE
            if error > allowed:
                raise ExportError(
                    f"the guarded graph differs from the source model: {name} by {error:.1e} (relative) at {shape}, "
                    f"allowed {allowed:.0e}"
                )
            worst[name] = max(worst.get(name, 0.0), error)
    _try_longest(session, table, pad_id, max_tokens)
    return worst


def expected_outputs(
    truth: Truth, feed: Feed, plan: Plan, pooling: Pooling, table: NDArray[np.bool_]
) -> dict[str, NDArray[Any]]:
    """The outputs by their definitions, from the plain pass."""
    mask = feed["attention_mask"].astype(np.bool_)
    scored = reference.scored_tokens(feed["input_ids"], mask, table)
    received = reference.attention_received(truth.probabilities[list(plan.attention_layers)], mask)
    tokens = reference.token_scores(received, truth.saliency, feed["input_ids"], scored)
    return {
        "logits": truth.logits,
        "class_attention": class_attention(truth.probabilities, mask, pooling),
        "attention_received": received,
        "saliency": truth.saliency,
        "token_scores": tokens,
        "anomaly_score": reference.anomaly(tokens, scored)[0],
    }


def class_attention(probabilities: Real, mask: Bools, pooling: Pooling) -> NDArray[Any]:
    """What the position that the classifier reads looks at in the last layer; received / n where it reads all."""
    if pooling == "class":
        return reference.class_attention(probabilities, mask)
    if pooling == "mean":
        return np.asarray(reference.attention_received(probabilities[-1:], mask) / mask.sum(axis=1, keepdims=True))
    last = mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1)
    rows = probabilities[-1].mean(axis=1)[np.arange(len(mask)), last]
    return np.asarray(np.where(mask, rows, 0.0), np.float64)


def relative_error(got: NDArray[Any], expected: NDArray[Any]) -> float:
    """Largest difference, in units of the largest expected value."""
    largest = float(np.abs(expected).max())
    return float(np.abs(got - expected).max()) / max(largest, 1e-9)


def _try_longest(session: Any, table: NDArray[np.bool_], pad_id: int, max_tokens: int) -> None:
    """Run one text as long as the model says it reads (as far as that is cheap): positions may end before."""
    length = min(max_tokens, _LONGEST)
    (feed,) = random_batches(((1, length),), table, pad_id, length, _takes_types(session))
    try:
        finite = np.isfinite(run_graph(session, feed)["logits"]).all()
    except Exception as error:  # the library's errors share no base class
        raise ExportError(f"the graph fails on {length} tokens: say with --max-tokens how many it reads") from error
    if not finite:
        raise ExportError(f"the graph gives logits that are not finite on {length} tokens: lower --max-tokens")


def _takes_types(session: Any) -> bool:
    return "token_type_ids" in {value.name for value in session.get_inputs()}


def random_batches(
    shapes: tuple[tuple[int, int], ...],
    table: NDArray[np.bool_],
    pad_id: int,
    max_tokens: int,
    token_types: bool = False,
) -> Iterator[dict[str, NDArray[np.int64]]]:
    """Yield seeded random texts, right-padded to different lengths; at least half of their tokens are scored ones."""
    vocabulary, words = len(table), np.flatnonzero(table)
    rng = np.random.default_rng(0)
    for batch, sequence in shapes:
        sequence = min(sequence, max_tokens)
        lengths = rng.integers(1, sequence + 1, batch)
        lengths[0] = sequence
        mask = (np.arange(sequence) < lengths[:, None]).astype(np.int64)
        ids = rng.integers(0, vocabulary, (batch, sequence))
        if len(words):
            ids = np.where(rng.random(ids.shape) < 0.5, rng.choice(words, ids.shape), ids)
        ids = np.where(ids == pad_id, (pad_id + 1) % vocabulary, ids)
        feed = {"input_ids": np.where(mask == 1, ids, pad_id), "attention_mask": mask}
        if token_types:
            feed["token_type_ids"] = mask * (np.arange(sequence) >= lengths[:, None] // 2)
        yield feed
