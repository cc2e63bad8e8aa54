"""The result of `tokenward bench serving` as a table, with what it is meant to reach beside what it reached."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table

from ..bench.http_load import LOST, Load
from ..bench.serving import ENFORCE, ServingReport

_LATENCIES = ("p50 ms", "p95", "p99")


def serving_table(report: ServingReport) -> Group:
    """Closed loop, arrivals, and the targets."""
    return Group(_closed(report), "", _arrivals(report), "", _targets(report))


def _closed(report: ServingReport) -> Table:
    caption = (
        f"{report.clients} clients, {report.texts} texts, {report.rounds} rounds in turn, on {report.threads} cores "
        "shared with the clients; median (quartiles), latencies of the last round"
    )
    table = _table("closed loop", "texts/s", "× in process", *_LATENCIES, "batch", "not 200", caption=caption)
    for row in report.rows:
        rate, times = row.texts_per_second.median, row.times_in_process
        seen = (*_latencies(row.load), f"{row.batch:.1f}", _others(row.load)) if row.load and row.batch else ()
        table.add_row(row.name, f"{rate:.0f}", f"{times.median:.2f} ({times.low:.2f}–{times.high:.2f})", *seen)
    return table


def _arrivals(report: ServingReport) -> Table:
    table = _table("random arrivals", "sent/s", "answered/s", *_LATENCIES, "not 200")
    for name, load in (("60 % of saturation", report.steady), ("300 %", report.overload.load)):
        sent = load.statuses.total() / load.seconds
        table.add_row(name, f"{sent:.0f}", f"{load.rate:.0f}", *_latencies(load), _others(load))
    return table


def _targets(report: ServingReport) -> Table:
    steady, overload = report.steady, report.overload
    enforce = next(row for row in report.rows if row.name == ENFORCE)
    table = _table("target", "meant", "measured", "")
    for name, sign, bound, value in (
        ("throughput, × in process", "≥", 0.85, enforce.times_in_process.median),
        ("micro-batching, × one at a time", "≥", 2.0, report.batching_gain.median),
        ("p99 at 60 %, × p50", "≤", 3.0, steady.percentile(99) / steady.percentile(50)),
        ("memory in overload, × before", "≤", 1.1, 1 + overload.growth),
        ("p99 of accepted in overload, s", "≤", report.deadline, overload.load.percentile(99) / 1000),
        ("median 2 s after, × before", "≤", 1.5, overload.after / overload.before),
    ):
        table.add_row(
            name, f"{sign} {bound:g}", f"{value:.2f}", _mark(value >= bound if sign == "≥" else value <= bound)
        )
    found = overload.load.statuses.keys()
    told = ", ".join("lost" if status == LOST else str(status) for status in sorted(found))
    table.add_row("answers in overload", "200, 429, 504", told, _mark(found <= {200, 429, 504}))
    return table


def _mark(reached: bool) -> str:
    return "[green]✓[/]" if reached else "[red]✗[/]"


def _table(*columns: str, caption: str | None = None) -> Table:
    table = Table(caption=caption, box=None, padding=(0, 2, 0, 0), header_style="dim")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table


def _latencies(load: Load) -> tuple[str, ...]:
    return tuple(f"{load.percentile(percent):.0f}" for percent in (50, 95, 99))


def _others(load: Load) -> str:
    others = {status: count for status, count in sorted(load.statuses.items()) if status != 200}
    return ", ".join(f"{count} × {'lost' if status == LOST else status}" for status, count in others.items()) or "none"
