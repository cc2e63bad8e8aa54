"""Counters of the guard in Triton's own metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import triton_python_backend_utils as pb_utils

from ...runtime.verdict import Action, Mode, Verdict


class Metrics:
    """Counts verdicts of one model; all instances of it share the same counters."""

    def __init__(self, model: str, labels: Sequence[str]) -> None:
        actions = _family("tokenward_texts_total", "Texts answered, by what the guard did with them")
        answers = _family("tokenward_answers_total", "Texts answered, by label")
        passes = _family("tokenward_passes_total", "Rows run through the graph: first passes and second looks")
        skips = _family("tokenward_gate_skips_total", "Texts proved harmless without computing their gradient")
        self._actions = {
            (mode, action): actions.Metric(labels={"model": model, "mode": mode, "action": action})
            for mode in get_args(Mode)
            for action in get_args(Action)
        }
        self._answers = {label: answers.Metric(labels={"model": model, "label": label}) for label in labels}
        self._passes = {kind: passes.Metric(labels={"model": model, "pass": kind}) for kind in ("first", "second")}
        self._skips = skips.Metric(labels={"model": model})
        # A family is dropped with its last reference, and its counters with it.
        self._families = (actions, answers, passes, skips)

    def count(self, verdicts: Sequence[Verdict], mode: Mode, rows: int) -> None:
        """Count answers, and the ``rows`` that the graph ran to give them."""
        for verdict in verdicts:
            self._actions[mode, verdict.action].increment(1)
            self._answers[verdict.label].increment(1)
        self._passes["first"].increment(len(verdicts))
        self._passes["second"].increment(rows - len(verdicts))
        self._skips.increment(sum(v.threshold is not None and v.anomaly_score is None for v in verdicts))


def _family(name: str, description: str) -> Any:
    return pb_utils.MetricFamily(name=name, description=description, kind=pb_utils.MetricFamily.COUNTER)
