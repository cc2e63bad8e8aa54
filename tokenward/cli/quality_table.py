"""What defences buy: one table per attack, one row per defence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table

from ..bench.record import Metric, Row
from .record_table import record_table

_COLUMNS = {
    "CACC": "cacc",
    "ASR": "asr",
    "by the trigger": "attributable",
    "found (TPR)": "tpr",
    "clean flagged": "fpr",
    "AUC": "auc",
    "suspect right": "localised",
    "second passes": "second_passes",
}


def quality_tables(rows: Sequence[Row]) -> Iterable[Table]:
    """Shares in per cent, each over its 95 % bootstrap interval. What was not run stands below with the reason."""
    for attack in dict.fromkeys(row.labels["attack"] for row in rows):
        of_attack = [row for row in rows if row.labels["attack"] == attack]
        yield record_table(attack, _COLUMNS, of_attack, lambda row: str(row.labels["defence"]), _cells)


def _cells(row: Row) -> list[str]:
    return [_cell(row.metrics.get(name)) for name in _COLUMNS.values()]


def _cell(metric: Metric | None) -> str:
    if metric is None:
        return "–"
    bounds = (
        "" if metric.low is None or metric.high is None else f"\n[dim]{100 * metric.low:.0f}–{100 * metric.high:.0f}[/]"
    )
    return f"{100 * metric.value:.1f}{bounds}"
