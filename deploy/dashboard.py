"""The Grafana dashboard: what the guard does, what it costs, and how Triton copes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

RATE = "[$__rate_interval]"


@dataclass(frozen=True)
class Panel:
    """One time series: a PromQL expression, its legend and its unit (Grafana's names)."""

    title: str
    expression: str
    legend: str
    unit: str


def _per_second(metric: str, by: str = "model", where: str = "") -> str:
    selector = f'{{model=~"$model"{where}}}'
    return f"sum by ({by}) (rate({metric}{selector}{RATE}))"


def _share(part: str, whole: str) -> str:
    return f"{part} / clamp_min({whole}, 0.001)"


_SECOND, _FIRST = (_per_second("tokenward_passes_total", where=f',look="{look}"') for look in ("second", "first"))
_ACTIONS = _per_second("tokenward_actions_total")
_NEUTRALISED = _per_second("tokenward_actions_total", where=',action="neutralised"')
_SKIPPED = _per_second("tokenward_gradients_total", where=',skipped="yes"')
_WAITING = 'sum by (model) (nv_inference_pending_request_count{model=~"$model"})'
_REQUESTS = _per_second("nv_inference_request_success")

PANELS = (
    Panel("Texts by action", _per_second("tokenward_actions_total", "model, action"), "{{model}} {{action}}", "ops"),
    Panel("Texts with a trigger", _share(_NEUTRALISED, _ACTIONS), "{{model}}", "percentunit"),
    Panel("Answers by label", _per_second("tokenward_actions_total", "model, label"), "{{model}} {{label}}", "ops"),
    Panel("Second looks per text", _share(_SECOND, _FIRST), "{{model}}", "none"),
    Panel("Second looks refused (budget spent)", _per_second("tokenward_fallbacks_total"), "{{model}}", "ops"),
    Panel("Gradients skipped", _share(_SKIPPED, _per_second("tokenward_gradients_total")), "{{model}}", "percentunit"),
    Panel("Requests answered", _REQUESTS, "{{model}}", "reqps"),
    Panel(
        "Requests failed or refused",
        _per_second("nv_inference_request_failure", "model, reason"),
        "{{model}} {{reason}}",
        "reqps",
    ),
    Panel(
        "Requests waiting", 'sum by (model) (nv_inference_pending_request_count{model=~"$model"})', "{{model}}", "none"
    ),
    Panel("Mean time in queue", _share(_per_second("nv_inference_queue_duration_us"), _REQUESTS), "{{model}}", "µs"),
    Panel("Mean time to answer", _share(_per_second("nv_inference_request_duration_us"), _REQUESTS), "{{model}}", "µs"),
    Panel(
        "Mean batch size",
        _share(_per_second("nv_inference_count"), _per_second("nv_inference_exec_count")),
        "{{model}}",
        "none",
    ),
)


def dashboard(panels: Sequence[Panel] = PANELS) -> dict[str, Any]:
    """Return the dashboard as Grafana's JSON: three panels a row, and a choice of models."""
    source = {"type": "prometheus", "uid": "prometheus"}
    return {
        "uid": "tokenward",
        "title": "Tokenward on Triton",
        "schemaVersion": 39,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "model",
                    "type": "query",
                    "datasource": source,
                    "query": "label_values(tokenward_passes_total, model)",
                    "refresh": 2,
                    "includeAll": True,
                    "multi": True,
                    "current": {"text": "All", "value": "$__all"},
                }
            ]
        },
        "panels": [
            {
                "id": number + 1,
                "type": "timeseries",
                "title": panel.title,
                "datasource": source,
                "gridPos": {"x": 8 * (number % 3), "y": 8 * (number // 3), "w": 8, "h": 8},
                "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
                "targets": [
                    {"refId": "A", "datasource": source, "expr": panel.expression, "legendFormat": panel.legend}
                ],
            }
            for number, panel in enumerate(panels)
        ],
    }
