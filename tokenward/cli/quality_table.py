"""What defences buy: one table per attack, one row per defence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table

from ..bench.record import Metric, Row

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
        missing = [f"{row.labels['defence']}: not run: {row.not_run}" for row in of_attack if row.not_run is not None]
        table = Table(
            title=attack,
            caption="\n".join(missing) or None,
            title_justify="left",
            caption_justify="left",
            box=None,
            padding=(0, 1, 0, 0),
            header_style="dim",
        )
        table.add_column("")
        for name in _COLUMNS:
            table.add_column(name, justify="right", min_width=6)
        for row in of_attack:
            if row.not_run is None:
                table.add_row(row.labels["defence"], *(_cell(row.metrics.get(name)) for name in _COLUMNS.values()))
        yield table


def _cell(metric: Metric | None) -> str:
    if metric is None:
        return "–"
    bounds = (
        "" if metric.low is None or metric.high is None else f"\n[dim]{100 * metric.low:.1f}–{100 * metric.high:.1f}[/]"
    )
    return f"{100 * metric.value:.1f}{bounds}"
