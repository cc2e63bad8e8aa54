"""What a defence costs: one table per batch size, one row per system."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rich.table import Table

from ..bench.record import Metric, Row

_COLUMNS: dict[str, Callable[[Mapping[str, Metric]], str]] = {
    "texts/s": lambda m: _spread(m["texts_per_second"]),
    "× bare": lambda m: _spread(m["times_bare"]),
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
    missing = [f"{row.name('batch')}: not run: {row.not_run}" for row in rows if row.not_run is not None]
    table = Table(
        title=title,
        caption="\n".join(missing) or None,
        title_justify="left",
        caption_justify="left",
        box=None,
        padding=(0, 1, 0, 0),
        header_style="dim",
    )
    table.add_column("")
    for name in (*_COLUMNS, "texts"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        if row.not_run is None:
            cells = [show(row.metrics) for show in _COLUMNS.values()]
            table.add_row(row.name("batch"), *cells, str(row.settings["texts"]))
    return table


def _passes(metrics: Mapping[str, Metric]) -> list[str]:
    counts = {"": "forwards", "b": "backwards", "L": "language_model_forwards"}
    return [f"{metrics[name].value:.3g}{mark}" for mark, name in counts.items() if metrics[name].value or not mark]


def _spread(metric: Metric) -> str:
    return f"{metric.value:.3g}\n[dim]{metric.low:.3g}–{metric.high:.3g}[/]"
