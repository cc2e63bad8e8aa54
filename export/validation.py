"""Parity of a guarded graph with its source model, on the file that will be served and as it will be served.

Shapes differ from the one the graph was traced with; batches are padded; the session is the optimised one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifact import Pooling
from ..errors import ExportError, first_line
from ..kernels import reference
from ..kernels.reference import Bools, Real
from .comparison import TINY, TOLERANCE, error_in, largest, score_unit
from .ground_truth import Feed, GroundTruth, Truth
from .invariance import check_gate, check_padding
from .presets import Plan
from .random_texts import RandomTexts
from .session import run_graph, serving_session

_LONGEST = 2048
_UNITY = 1e-3  # that probabilities may be off it together, where they are clamped

Outputs = Mapping[str, NDArray[Any]]


def validate(path: Path, truth: GroundTruth, plan: Plan, pooling: Pooling, texts: RandomTexts) -> dict[str, float]:
    """Return the largest relative error of every output; relative to the largest value of the output in the batch.

    Scores are compared with those that the graph's own attention and saliency make by definition, in the unit of
    :func:`comparison.score_unit`. A saliency that the truth cannot measure is not among the outputs returned.

    Args:
        path: the guarded graph in fp32.

    Raises:
        ExportError: an output is not finite or is off by more than the tolerance, the graph fails to run, or the gate
            or padding changes what it says; the message says which and where.
    """
    try:
        session = serving_session(path)
    except Exception as error:  # the library's errors share no base class
        raise ExportError(f"onnxruntime cannot load the guarded graph: {first_line(error)}") from error
    worst: dict[str, float] = {}
    probable = True
    for feed in texts.batches(*truth.shapes):
        try:
            got = run_graph(session, feed)
        except Exception as error:  # the library's errors share no base class
            raise ExportError(f"the guarded graph fails at {_shape(feed)}: {first_line(error)}") from error
        measured = truth(feed)
        _check_rows(measured, feed)
        probable = probable and _are_probabilities(measured.logits)
        expected = expected_outputs(measured, feed, plan, pooling, texts.table)
        errors = _errors(got, expected, feed, texts.table, truth.tolerance, measured.noise)
        worst |= {name: max(worst.get(name, 0.0), value) for name, value in errors.items()}
    if probable:
        raise ExportError(
            "the model's answers are from 0 to 1 and sum to 1 for every text: these are probabilities and no logits; "
            "name the output before them with --logits, or export the model without its last step"
        )
    _try_longest(session, texts)
    check_padding(session, texts)
    if plan.gated:
        check_gate(session, plan, texts, TOLERANCE)
    return worst


def _check_rows(truth: Truth, feed: Feed) -> None:
    """Refuse attention that is none: what tokens receive is only their share where each real query gives 1 in all."""
    sums = truth.probabilities.sum(axis=-1, dtype=np.float64)
    for number, layer in enumerate(np.moveaxis(sums, 1, 2)):  # [heads, batch, queries]
        rows = layer[:, feed["attention_mask"].astype(np.bool_)]
        worst = rows.flat[np.abs(rows - 1).argmax()]
        if not abs(worst - 1) <= _UNITY:
            raise ExportError(
                f"the attention of layer {number} sums to {worst:.3g} for a token at {_shape(feed)}, expected 1: the "
                "model gives no softmax as its attention, such models are not supported"
            )


def _are_probabilities(logits: NDArray[Any]) -> bool:
    return bool((logits >= 0).all() and (np.abs(logits.sum(axis=1) - 1) < _UNITY).all())


def _errors(
    got: Outputs, expected: Outputs, feed: Feed, table: NDArray[np.bool_], tolerance: float, noise: float
) -> dict[str, float]:
    """Return the error of each output of one batch.

    Args:
        tolerance, noise: how far, relatively and absolutely, the expected saliency may be off itself.
    """
    scored = reference.scored_tokens(feed["input_ids"], feed["attention_mask"].astype(np.bool_), table)
    own = _scores(got["attention_received"], got["saliency"], feed["input_ids"], scored)
    units = {name: largest(value) for name, value in expected.items()}
    units |= dict.fromkeys(own, score_unit(got["attention_received"], got["saliency"], scored))
    allowed = dict.fromkeys(expected, TOLERANCE) | {"saliency": tolerance + noise / max(units["saliency"], TINY)}
    errors = {}
    for name, value in {**expected, **own}.items():
        if not np.isfinite(got[name]).all():
            raise ExportError(
                f"the guarded graph gives {name} that is not finite at {_shape(feed)}: it would not be safe"
            )
        errors[name] = error_in(units[name], got[name], value)
        if not errors[name] <= allowed[name]:
            raise ExportError(
                f"the guarded graph differs from the source model: {name} by {errors[name]:.1e} (relative) at "
                f"{_shape(feed)}, allowed {allowed[name]:.0e}"
            )
    if units["saliency"] <= noise:
        del errors["saliency"]
    return errors


def _shape(feed: Feed) -> str:
    return "batch {} × {} tokens".format(*feed["input_ids"].shape)


def expected_outputs(truth: Truth, feed: Feed, plan: Plan, pooling: Pooling, table: NDArray[np.bool_]) -> Outputs:
    """The outputs by their definitions, from the plain pass."""
    mask = feed["attention_mask"].astype(np.bool_)
    scored = reference.scored_tokens(feed["input_ids"], mask, table)
    received = reference.attention_received(truth.probabilities[list(plan.attention_layers)], mask)
    rows = [class_attention(truth.probabilities[: last + 1], mask, pooling) for last in range(len(truth.probabilities))]
    return {
        "logits": truth.logits,
        "class_attention": rows[-1],
        **({"class_attention_by_layer": np.stack(rows, axis=1)} if plan.by_layer else {}),
        "attention_received": received,
        "saliency": truth.saliency,
        **_scores(received, truth.saliency, feed["input_ids"], scored),
    }


def _scores(received: Real, salient: Real, ids: NDArray[np.int64], scored: Bools) -> Outputs:
    tokens = reference.token_scores(received, salient, ids, scored)
    return {"token_scores": tokens, "anomaly_score": reference.anomaly(tokens, scored)[0]}


def class_attention(probabilities: Real, mask: Bools, pooling: Pooling) -> NDArray[Any]:
    """What the position that the classifier reads looks at in the last layer; received / n where it reads all."""
    if pooling == "class":
        return reference.class_attention(probabilities, mask)
    if pooling == "mean":
        return np.asarray(reference.attention_received(probabilities[-1:], mask) / mask.sum(axis=1, keepdims=True))
    last = mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1)
    rows = probabilities[-1].mean(axis=1)[np.arange(len(mask)), last]
    return np.asarray(np.where(mask, rows, 0.0), np.float64)


def _try_longest(session: Any, texts: RandomTexts) -> None:
    """Run one text as long as the model says it reads (as far as that is cheap): positions may end before."""
    length = min(texts.max_tokens, _LONGEST)
    (feed,) = texts.batches((1, length))
    try:
        finite = np.isfinite(run_graph(session, feed)["logits"]).all()
    except Exception as error:  # the library's errors share no base class
        raise ExportError(f"the graph fails on {length} tokens: say with --max-tokens how many it reads") from error
    if not finite:
        raise ExportError(f"the graph gives logits that are not finite on {length} tokens: lower --max-tokens")
