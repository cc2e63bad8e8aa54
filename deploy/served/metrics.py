"""Counters of the guard in Triton's own metrics, named as the project's own server names them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import triton_python_backend_utils as pb_utils

from ...runtime.verdict import Mode, Verdict


class Metrics:
    """Counts verdicts of one model; its instances share their counters. No label takes a value from a text."""

    def __init__(self, model: str) -> None:
        self._model = model
        # A family is dropped with its last reference, and its counters with it.
        self._families = {
            "actions": _family("actions", "Verdicts by action, enforced label and mode."),
            "fallbacks": _family("fallbacks", "Texts decided without a second look: its budget was spent."),
            "gradients": _family("gradients", "First passes by whether the gate let the gradient be skipped."),
            "passes": _family("passes", "Rows run through the graph, by look."),
        }
        self._counters: dict[tuple[str, ...], Any] = {}

    def count(self, verdicts: Sequence[Verdict], mode: Mode, rows: int) -> None:
        """Count verdicts, and the ``rows`` that the graph ran for them; off mode is no sign of anything."""
        self._add(len(verdicts), "passes", look="first")
        self._add(rows - len(verdicts), "passes", look="second")
        if mode == "off":
            return
        for verdict in verdicts:
            self._add(1, "actions", action=verdict.action, label=verdict.enforced_label, mode=mode)
            self._add(1, "gradients", skipped="yes" if verdict.anomaly_score is None else "no")
            self._add(verdict.fallback, "fallbacks")

    def _add(self, number: int, family: str, **labels: str) -> None:
        key = (family, *labels.values())
        if key not in self._counters:
            self._counters[key] = self._families[family].Metric(labels={"model": self._model, **labels})
        if number:
            self._counters[key].increment(number)


def _family(name: str, description: str) -> Any:
    kind = pb_utils.MetricFamily.COUNTER
    return pb_utils.MetricFamily(name=f"tokenward_{name}_total", description=description, kind=kind)
