"""What must change no text's numbers, tried on the file that will be served: the gate, and padding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ExportError, first_line
from ..kernels import reference
from .comparison import TOLERANCE, error_in, largest, score_unit
from .ground_truth import Feed
from .presets import Plan
from .random_texts import RandomTexts
from .session import run_graph

_SHAPE = (6, 12)


def check_gate(session: Any, plan: Plan, texts: RandomTexts, tolerance: float) -> None:
    """Try gates that leave out some texts of a batch, one text more each time, and in the end all.

    Args:
        tolerance: how far, relatively, the gate may move what is computed for chosen rows; infinite where a text's
            numbers depend on its batch mates, as in int8.

    Raises:
        ExportError: the graph fails at a gate, or a gate changes a number or skips a text that scores above it.
    """
    feed = _longest_last(texts)
    mask = feed["attention_mask"].astype(np.bool_)
    scored = reference.scored_tokens(feed["input_ids"], mask, texts.table)
    full = run_graph(session, feed)
    gated = {"saliency": largest(full["saliency"]), "attention_received": largest(full["attention_received"])}
    gated["anomaly_score"] = score_unit(full["attention_received"], full["saliency"], scored)
    bound = mask.sum(axis=1) * scored.sum(axis=1) if plan.attention_gated else None
    for gate in _gates(reference.bound(full["attention_received"], scored) if bound is None else bound):
        try:
            out = run_graph(session, feed, gate=gate)
        except Exception as error:  # the library's errors share no base class
            raise _refusal("the guarded graph fails where the gate skips texts", error) from error
        kept = out["scored"]
        if not (full["anomaly_score"][~kept] < gate).all():
            raise _refusal("the gate skips a text that scores above it")
        for name, unit in gated.items():
            if not error_in(unit, out[name][kept], full[name][kept]) <= tolerance:
                raise _refusal(f"the gate changes {name} of texts that it does not skip")
        for name in full.keys() & {"logits", "class_attention", "class_attention_by_layer"}:
            if not error_in(largest(full[name]), out[name], full[name]) <= TOLERANCE:
                raise _refusal(f"the gate changes {name}")


def check_padding(session: Any, texts: RandomTexts) -> None:
    """Compare texts in a padded batch with each text alone.

    Raises:
        ExportError: an answer, or the attention that is read, depends on the padding.
    """
    feed = _longest_last(texts)
    try:
        _compare_alone(session, feed, texts.pad_id)
    except ExportError:
        raise
    except Exception as error:  # the library's errors share no base class
        raise ExportError(f"the guarded graph fails on texts of other lengths: {first_line(error)}") from error


def _compare_alone(session: Any, feed: Feed, pad_id: int) -> None:
    together = run_graph(session, feed)
    for row, length in enumerate(feed["attention_mask"].sum(axis=1)):
        alone = run_graph(session, {name: array[row : row + 1, :length] for name, array in feed.items()})
        for name in ("logits", "class_attention", "class_attention_by_layer", "attention_received"):
            if name not in alone:
                continue
            batched = together[name][row : row + 1, ..., : alone[name].shape[-1]]
            error = error_in(largest(together[name]), batched, alone[name])
            if not error <= TOLERANCE:
                raise ExportError(
                    f"padding a text with token {pad_id} changes its {name} by {error:.1e} (relative): name the "
                    "token that the model was trained with as pad_token_id in config.json; a model that reads its "
                    "padding whatever it is cannot be served in batches"
                )


def _longest_last(texts: RandomTexts) -> Feed:
    """One batch, turned round: short texts come first, so that the rows which a gate chooses are not the first ones."""
    (feed,) = texts.batches(_SHAPE)
    return {name: array[::-1] for name, array in feed.items()}


def _gates(bounds: NDArray[Any]) -> Iterator[float]:
    """Yield a gate between any two bounds, and one above all."""
    levels = np.unique(bounds)
    yield from ((levels[1:] + levels[:-1]) / 2).tolist()
    yield np.inf


def _refusal(what: str, error: Exception | None = None) -> ExportError:
    return ExportError(f"{what}: export with --no-gate" + (f" ({first_line(error)})" if error else ""))
