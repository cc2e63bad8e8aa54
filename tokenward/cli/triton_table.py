"""The table that `tokenward bench triton` prints."""

from __future__ import annotations

from rich.table import Table

from ..bench.triton import TARGET, TritonReport


def triton_table(report: TritonReport) -> Table:
    """One row per way and number of clients."""
    verdict = "reached" if report.share >= TARGET else "missed"
    caption = (
        f"{report.texts} texts, {report.rounds} rounds in shuffled order, {report.threads} cores shared with the load; "
        f"Triton over gRPC at the most clients: {report.share:.2f} of in process (target {TARGET}: {verdict})"
    )
    table = Table(caption=caption, box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    for column in ("clients", "texts/s", "of in process", "p50 ms", "p95 ms", "p99 ms"):
        table.add_column(column, justify="right")
    for row in report.rows:
        rate, share = row.texts_per_second, row.times_in_process
        table.add_row(
            row.name,
            str(row.clients),
            f"{rate.median:.0f}",
            f"{share.median:.2f} ({share.low:.2f}–{share.high:.2f})",
            *(f"{value:.1f}" for value in row.milliseconds),
        )
    return table
