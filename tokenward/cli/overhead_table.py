"""What a defence costs: one table per batch size, one row per system."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rich.table import Table

from ..bench.record import Metric, Row
from .record_table import record_table

_COLUMNS: dict[str, Callable[[Mapping[str, Metric]], str]] = {
    "texts/s": lambda m: _spread(m["texts_per_second"]),
    "× bare": lambda m: _spread(m["times_bare"]) if "times_bare" in m else "–",
    "p50 ms": lambda m: f"{m['p50'].value:.1f}",
    "p95 ms": lambda m: f"{m['p95'].value:.1f}" if "p95" in m else "–",
    "passes": lambda m: " + ".join(_passes(m)),
    "MiB": lambda m: f"{m['memory'].value:.0f}" if "memory" in m else "–",
}


def overhead_tables(rows: Sequence[Row]) -> list[Table]:
    """Medians over their quartiles; what was not run stands below with the reason.

    Passes are per text: forward, b backward, L of a language model.
    """
    return [
        _table(batch, [row for row in rows if row.labels["batch"] == batch])
        for batch in dict.fromkeys(row.labels["batch"] for row in rows)
    ]


def _table(batch: int, rows: Sequence[Row]) -> Table:
    title = "one text a call" if batch == 1 else f"{batch} texts a call"
    return record_table(title, (*_COLUMNS, "texts"), rows, lambda row: row.name("batch"), _cells)


def _cells(row: Row) -> list[str]:
    return [*(show(row.metrics) for show in _COLUMNS.values()), str(row.settings["texts"])]


def _passes(metrics: Mapping[str, Metric]) -> list[str]:
    counts = {"": "forwards", "b": "backwards", "L": "language_model_forwards"}
    return [f"{metrics[name].value:.3g}{mark}" for mark, name in counts.items() if metrics[name].value or not mark]


def _spread(metric: Metric) -> str:
    return f"{metric.value:.3g}\n[dim]{metric.low:.3g}–{metric.high:.3g}[/]"
