"""The reports of the timing benchmarks as rows of a record."""

from __future__ import annotations

import math

from .http_load import Load
from .record import Metric, Row, timed
from .serving import ServingReport
from .soak import SoakReport
from .speed import SpeedReport
from .triton import TritonReport


def speed_rows(report: SpeedReport) -> list[Row]:
    """One row per system."""
    return [
        Row(
            {"defence": row.name},
            {
                "texts_per_second": timed(row.texts_per_second, "texts/s", "higher"),
                "times_published": timed(row.times_plain, "×", "higher"),
                "times_bare": timed(row.times_bare, "×", "higher"),
            },
        )
        for row in report.rows
    ]


def serving_rows(report: ServingReport) -> list[Row]:
    """One row per way under closed-loop clients, and one each for steady arrivals and overload."""
    rows = [
        Row(
            {"way": row.name, "load": f"{report.clients} clients"},
            {
                "texts_per_second": timed(row.texts_per_second, "texts/s", "higher"),
                "times_in_process": timed(row.times_in_process, "×", "higher"),
                **(_latencies(row.load) if row.load else {}),
            },
        )
        for row in report.rows
    ]
    overload = report.overload
    rows.append(Row({"way": "enforce", "load": "steady arrivals"}, _arrivals(report.steady)))
    rows.append(
        Row(
            {"way": "enforce", "load": "overload"},
            {
                **_arrivals(overload.load),
                "memory_growth": Metric(overload.growth, unit="share", better="lower"),
                "median_before": Metric(overload.before, unit="ms"),
                "median_after": Metric(overload.after, unit="ms"),
            },
        )
    )
    return rows


def soak_rows(report: SoakReport) -> list[Row]:
    """One row per moment, and one for the answers."""
    rows = [
        Row(
            {"moment": moment},
            {
                "memory": Metric(held.megabytes, unit="MB"),
                "threads": Metric(held.threads),
                "files": Metric(held.files),
            },
        )
        for moment, held in (("warm", report.warm), ("end", report.end))
    ]
    counts = {f"status_{status}": Metric(count) for status, count in sorted(report.statuses.items())}
    rows.append(Row({"moment": "answers"}, {**counts, "dropped": Metric(report.dropped)}))
    return rows


def triton_rows(report: TritonReport) -> list[Row]:
    """One row per way and number of clients."""
    return [
        Row(
            {"way": row.name, "clients": row.clients},
            {
                "texts_per_second": timed(row.texts_per_second, "texts/s", "higher"),
                "times_in_process": timed(row.times_in_process, "×", "higher"),
                **{
                    name: Metric(value, unit="ms", better="lower")
                    for name, value in zip(("p50", "p95", "p99"), row.milliseconds, strict=True)
                },
            },
        )
        for row in report.rows
    ]


def _arrivals(load: Load) -> dict[str, Metric]:
    """What came back of random arrivals, as shares of what was sent."""
    sent = load.statuses.total()
    answered = {
        f"share_{status}": Metric(count / sent, unit="share") for status, count in sorted(load.statuses.items())
    }
    return {"sent": Metric(sent), **_latencies(load), **answered}


def _latencies(load: Load) -> dict[str, Metric]:
    found = {f"p{percent}": load.percentile(percent) for percent in (50, 95, 99)}
    return {name: Metric(value, unit="ms", better="lower") for name, value in found.items() if math.isfinite(value)}
