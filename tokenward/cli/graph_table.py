"""The result of `tokenward bench graph` as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from ..bench.graph import GraphRow


def graph_table(rows: Sequence[GraphRow], rounds: int) -> Table:
    """Medians, the costs with their quartiles; one block per workload."""
    table = Table(
        caption=f"cost in units of the forward pass in default settings, and of the narrowed one; sessions alone, "
        f"{rounds} alternating rounds in shuffled order; median (quartiles); skipped: texts without a gradient",
        box=None,
        padding=(0, 2, 0, 0),
        header_style="dim",
    )
    table.add_column("")
    for title in ("ms", "× plain", "× narrowed", "skipped"):
        table.add_column(title, justify="right")
    workload = ""
    for row in rows:
        if row.workload != workload:
            workload = row.workload
            table.add_row(f"[bold]{workload}[/]")
        skipped = "" if row.skipped is None else f"{row.skipped:.0%}"
        low, high = row.times_plain.low, row.times_plain.high
        table.add_row(
            f"  {row.name}",
            f"{row.milliseconds.median:.1f}",
            f"{row.times_plain.median:.2f} ({low:.2f}–{high:.2f})",
            f"{row.times_narrowed.median:.2f}",
            skipped,
        )
    return table
