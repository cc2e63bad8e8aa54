"""The result of `tokenward bench speed` as a table."""

from __future__ import annotations

from rich.table import Table

from ..bench.alternation import Spread
from ..bench.speed import BARE_SETTINGS, SpeedReport


def speed_table(report: SpeedReport) -> Table:
    """Texts per second and ratios, each the median with its quartiles."""
    caption = (
        f"text in, answer out: {report.texts} texts, preset {report.preset}, {report.rounds} alternating rounds on "
        f"{report.threads} threads; median (quartiles); undefended: {BARE_SETTINGS}"
    )
    if report.agreement is not None:
        caption += f"; guard and published method answer alike on {report.agreement:.1%}"
    table = Table(caption=caption, box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    for title in ("texts/s", "× published", "× undefended"):
        table.add_column(title, justify="right")
    for row in sorted(report.rows, key=lambda row: -row.texts_per_second.median):
        rate = row.texts_per_second
        table.add_row(
            row.name,
            f"{rate.median:.0f} ({rate.low:.0f}–{rate.high:.0f})",
            _times(row.times_plain),
            _times(row.times_bare),
        )
    return table


def _times(times: Spread) -> str:
    return f"{times.median:.2f} ({times.low:.2f}–{times.high:.2f})"
