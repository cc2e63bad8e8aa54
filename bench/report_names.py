"""How the report names and writes figures, and which colour each system has on all of its charts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .record import Metric, Record

COLOURS = 10
TITLES = {
    "cacc": "CACC",
    "asr": "ASR",
    "tpr": "TPR",
    "fpr": "FPR, clean",
    "auc": "AUC",
    "attributable": "ASR won by the trigger",
    "floor": "target without trigger",
    "kept": "right answers kept beside the trigger",
    "tpr_at_5": "TPR at 5% FPR",
    "altered_clean": "altered, clean",
    "work_cold": "tokens read, cold",
    "work_warm": "tokens read, warm",
    "localised": "suspect is trigger",
    "second_passes": "second passes, clean",
    "texts_per_second": "texts/s",
    "times_bare": "speed, × bare",
    "cost": "time, bare = 1",
    "times_published": "× published",
    "times_in_process": "× in process",
    "times_plain": "× plain pass",
    "p50": "p50, ms",
    "p95": "p95, ms",
    "p99": "p99, ms",
    "forwards": "forwards",
    "backwards": "backwards",
    "language_model_forwards": "LM forwards",
    "memory": "peak memory",
    "exponent": "measured",
    "exponent_flops": "FLOPs",
    "exponent_bytes": "bytes",
    "gflops": "GFLOP",
    "megabytes": "MB",
}


def title(name: str) -> str:
    """A metric's or a label's name for people."""
    return TITLES.get(name, name.replace("_", " "))


def written(metric: Metric, name: str = "") -> str:
    """A figure with its spread in brackets; an area under a curve is no percentage."""
    if name == "auc":
        metric = replace(metric, unit="area")
    show = {"share": _share, "×": _ratio, "area": _area}.get(metric.unit, _number)
    spread = "" if metric.low is None or metric.high is None else f" ({show(metric.low)}–{show(metric.high)})"
    unit = {"MiB": "\u202fMiB", "MB": "\u202fMB", "share": "%"}.get(metric.unit, "")
    return f"{show(metric.value)}{unit}{spread}"


def _share(value: float) -> str:
    return f"{100 * value:.1f}"


def _area(value: float) -> str:
    return f"{value:.3f}"


def _ratio(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 100 else _number(value)


def _number(value: float) -> str:
    if value == round(value) and abs(value) < 1e6:
        return f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


class Palette:
    """A colour for each defence, the same in every chart; what is not defended is grey."""

    def __init__(self, records: Iterable[Record]) -> None:
        names = (str(row.labels["defence"]) for record in records for row in record.rows if "defence" in row.labels)
        coloured = [name for name in dict.fromkeys(names) if not is_bare(name)]
        self._styles = {name: f"c{number % COLOURS}" for number, name in enumerate(coloured)}

    def __call__(self, name: str) -> str:
        """The style class of a defence."""
        return self._styles.get(name, "bare")


def is_bare(name: str) -> bool:
    """The system has no defence."""
    return name.startswith(("bare", "undefended", "plain", "none"))
