"""Laws fitted to a scaling run: exponents along each axis, and seconds from the work of a pass."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from .alternation import spread
from .record import Metric, Row, timed


def fit_rows(rows: Sequence[Row]) -> list[Row]:
    """One row per system and axis with its exponents, and one per system with its law; what was not run is left out.

    The exponent along an axis is the slope of log time on log coordinate; that of FLOPs and of bytes is the same for
    what was counted, so it is what theory says for these very shapes. The law is seconds = a·FLOPs + b·bytes +
    c·operators, by least squares of relative errors with no negative term.
    """
    ran = [row for row in rows if row.not_run is None]
    fitted = []
    for name in dict.fromkeys(row.labels["defence"] for row in ran):
        own = [row for row in ran if row.labels["defence"] == name]
        for axis in dict.fromkeys(row.labels["axis"] for row in own):
            along = [row for row in own if row.labels["axis"] == axis]
            if len({row.labels[axis] for row in along}) > 1:
                fitted.append(Row({"defence": name, "fit": axis}, _exponents(along, axis)))
        fitted.append(Row({"defence": name, "fit": "law"}, _law(own)))
    return fitted


def _exponents(rows: Sequence[Row], axis: str) -> dict[str, Metric]:
    places = np.log([float(row.labels[axis]) for row in rows])

    def slope(values: Sequence[float]) -> float:
        return float(np.polyfit(places, np.log(values), 1)[0])

    rounds = zip(*(row.series["milliseconds"] for row in rows), strict=True)
    return {
        "exponent": timed(spread([slope(times) for times in rounds]), ""),
        "exponent_flops": Metric(slope([row.metrics["gflops"].value for row in rows])),
        "exponent_bytes": Metric(slope([row.metrics["megabytes"].value for row in rows])),
    }


def _law(rows: Sequence[Row]) -> dict[str, Metric]:
    milliseconds = np.array([row.metrics["milliseconds"].value for row in rows])
    counted = {
        "ms_per_gflop": [row.metrics["gflops"].value for row in rows],
        "ms_per_megabyte": [row.metrics["megabytes"].value for row in rows],
        "ms_per_operator": [row.metrics["operators"].value for row in rows],
    }
    relative = {name: np.array(values) / milliseconds for name, values in counted.items()}
    best: tuple[float, dict[str, float]] = (float("inf"), {})
    for size in range(1, len(relative) + 1):
        for names in combinations(relative, size):
            terms = np.column_stack([relative[name] for name in names])
            found: NDArray[np.float64] = np.linalg.lstsq(terms, np.ones(len(rows)), rcond=None)[0]
            error = float(np.square(terms @ found - 1).sum())
            if (found >= 0).all() and error < best[0]:
                best = error, dict(zip(names, found.tolist(), strict=True))
    law = best[1]
    predicted = sum(law.get(name, 0.0) * values for name, values in relative.items())
    return {
        **{name: Metric(law.get(name, 0.0), unit="ms") for name in counted},
        "median_error": Metric(float(np.median(np.abs(predicted - 1))), unit="share"),
        "largest_error": Metric(float(np.max(np.abs(predicted - 1))), unit="share"),
    }
