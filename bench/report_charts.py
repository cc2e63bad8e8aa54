"""The report's charts, drawn from records alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .chart import Axis, Chart, linear, logarithmic
from .record import Metric, Row
from .report_names import Palette, is_bare

BATCH = 32  # what cost means where it stands against protection
NOT_SHOWN = ("off", "monitor", "default settings")  # modes that stand in bars and tables only
_WARM = "enforce, warm"
_BINS = 32
_POINTS = 120
_BAR = 17.0
_UNSCORED = 1e8  # texts without a word that could be suspected have a score of such a size


def costs(overhead: Sequence[Row], batch: int = BATCH) -> dict[str, Metric]:
    """Time of each defence in units of the bare model's, as it answers texts it has not seen (a cold cache)."""
    found: dict[str, Metric] = {}
    for row in overhead:
        if (
            row.labels.get("batch") == batch
            and row.labels.get("mode") not in (*NOT_SHOWN, _WARM)
            and "times_bare" in row.metrics
        ):
            found.setdefault(str(row.labels["defence"]), cost(row.metrics["times_bare"]))
    return found


def cost(speed: Metric) -> Metric:
    """How many times the bare model's time, from how many times its speed."""
    low, high = (None if end is None else 1 / end for end in (speed.high, speed.low))
    return Metric(1 / speed.value, low, high, speed.unit, "lower")


def protection(attack: str, quality: Sequence[Row], cost_of: Mapping[str, Metric], palette: Palette) -> Chart | None:
    """Attack success against cost; None where no defence has both."""
    dots = [
        (str(row.labels["defence"]), cost_of[str(row.labels["defence"])], row.metrics["asr"])
        for row in quality
        if row.labels["attack"] == attack and "asr" in row.metrics and row.labels["defence"] in cost_of
    ]
    if not dots:
        return None
    told = "; ".join(f"{name}: {100 * asr.value:.1f} % at × {cost.value:.2f}" for name, cost, asr in dots)
    chart = Chart(
        f"{attack}: attack success against cost",
        f"Scatter plot of attack success against time relative to the bare model, attack {attack}. {told}.",
        logarithmic("time, bare ONNX Runtime = 1 (lower is better)", [1.0, *(c.value for _, c, _ in dots)]),
        linear("ASR (lower is better)", -0.03, 1.03, percent=True),
    )
    chart.add("rule", [(1.0, 0.0)], "soft", "the bare model's time")
    for name, cost, asr in dots:
        style = palette(name)
        for metric, ends in ((cost, [(cost.low, asr.value), (cost.high, asr.value)]),
                             (asr, [(cost.value, asr.low), (cost.value, asr.high)])):  # fmt: skip
            if metric.low is not None:
                chart.add("whisker", [(float(x or 0), float(y or 0)) for x, y in ends], style)
        chart.add("dot", [(cost.value, asr.value)], style, f"{name}: ASR {asr.value:.1%}, time × {cost.value:.2f}")
        chart.key.append((style, name))
    return chart


def overhead_bars(rows: Sequence[Row], batch: int, palette: Palette) -> Chart | None:
    """Time of every system relative to the bare model, on a logarithmic axis around 1."""
    ran = [row for row in rows if row.labels.get("batch") == batch and "times_bare" in row.metrics]
    if not ran:
        return None
    found = [(row.name("batch"), str(row.labels["defence"]), cost(row.metrics["times_bare"])) for row in ran]
    told = "; ".join(f"{name} × {metric.value:.2f}" for name, _, metric in found)
    ends = [end for _, _, m in found for end in (m.value, m.low or m.value, m.high or m.value)]
    chart = Chart(
        f"Time of calls with {batch} text{'s' if batch > 1 else ''}",
        f"Bars of time relative to bare ONNX Runtime, calls of {batch}: {told}.",
        logarithmic("time, bare ONNX Runtime = 1", [1.0, *ends]),
        Axis("", 0.0, float(len(found)), ()),
        height=len(found) * _BAR + 56,
        left=min(5.5 * max(len(name) for name, _, _ in found) + 14, 220.0),
        right=44.0,
    )
    for number, (name, defence, metric) in enumerate(found):
        top, middle = len(found) - number - 0.15, len(found) - number - 0.62
        low, high = sorted((1.0, metric.value))
        chart.add("bar", [(low, top), (high, top - 0.7)], palette(defence), f"{name}: × {metric.value:.3g}")
        if metric.low is not None and metric.high is not None:
            chart.add("whisker", [(metric.low, top - 0.35), (metric.high, top - 0.35)], "ink")
        chart.note(6, chart.down(middle), name)
        chart.note(chart.width - chart.right + 4, chart.down(middle), f"{metric.value:.3g}")
    chart.add("rule", [(1.0, 0.0)], "ink")
    return chart


def roc(attack: str, quality: Sequence[Row], palette: Palette) -> Chart | None:
    """Share of triggered texts found against share of clean texts flagged, over all thresholds."""
    scored = [row for row in quality if row.labels["attack"] == attack and {"clean", "triggered"} <= row.series.keys()]
    if not scored:
        return None
    told = "; ".join(f"{row.labels['defence']}: {_auc(row)}" for row in scored)
    chart = Chart(
        f"{attack}: which texts the score finds (ROC)",
        f"ROC curves, attack {attack}; area under the curve of {told}.",
        linear("clean texts flagged", 0.0, 1.0, percent=True),
        linear("triggered texts found", 0.0, 1.0, percent=True),
    )
    chart.add("line", [(0, 0), (1, 1)], "soft dashed")
    for row in scored:
        name, style = str(row.labels["defence"]), palette(str(row.labels["defence"]))
        chart.add("line", roc_points(row.series["clean"], row.series["triggered"]), style, name)
        chart.key.append((style, f"{name}, AUC {_auc(row)}"))
    return chart


def roc_points(clean: Sequence[float], triggered: Sequence[float]) -> list[tuple[float, float]]:
    """(Share of clean, share of triggered texts) at or above each threshold, from none to all."""
    negative, positive = np.sort(clean), np.sort(triggered)
    thresholds = np.unique([*clean, *triggered])
    if len(thresholds) > _POINTS:
        thresholds = np.unique(np.quantile(thresholds, np.linspace(0, 1, _POINTS), method="nearest"))
    shares = [
        1 - np.searchsorted(sorted_scores, thresholds) / len(sorted_scores) for sorted_scores in (negative, positive)
    ]
    return [(0.0, 0.0), *zip(shares[0][::-1].tolist(), shares[1][::-1].tolist(), strict=True)]


def histogram(row: Row, palette: Palette) -> Chart | None:
    """Scores of clean and of triggered texts, with the threshold between them."""
    clean, triggered = (np.array(row.series.get(name, ())) for name in ("clean", "triggered"))
    if not len(clean) or not len(triggered):
        return None
    scored = [score for score in (*clean, *triggered) if abs(score) < _UNSCORED] or [0.0]
    low, high = np.quantile(scored, [0.005, 0.995])
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    heights = [np.histogram(np.clip(s, edges[0], edges[-1]), edges)[0] / len(s) for s in (clean, triggered)]
    name, attack, threshold = row.labels["defence"], row.labels["attack"], row.metrics.get("threshold")
    shown = [*edges.tolist(), *([threshold.value] if threshold else [])]
    below = f"; the threshold is {threshold.value:.3g}" if threshold else ""
    chart = Chart(
        f"{name}, {attack}",
        f"Histogram of {name}'s scores, attack {attack}: median {np.median(clean):.3g} of clean and "
        f"{np.median(triggered):.3g} of triggered texts{below}.",
        linear("score", min(shown), max(shown)),
        linear("share of texts", 0.0, float(max(h.max() for h in heights)), percent=True),
        height=170,
    )
    for values, style in zip(heights, ("bare", palette(str(name))), strict=True):
        tops = [(float(x), float(v)) for i, v in enumerate(values) for x in (edges[i], edges[i + 1])]
        chart.add("area", [(float(edges[0]), 0.0), *tops, (float(edges[-1]), 0.0)], style)
    if threshold:
        chart.add("rule", [(threshold.value, 0.0)], "ink dashed", f"threshold {threshold.value:.4g}")
    chart.key.extend([("bare", "clean"), (palette(str(name)), "triggered")])
    return chart


def latencies(rows: Sequence[Row], batch: int, palette: Palette) -> Chart | None:
    """Share of calls answered within so many milliseconds."""
    timed = [
        row
        for row in rows
        if row.labels.get("batch") == batch and row.labels.get("mode") not in NOT_SHOWN and row.series.get("latency")
    ]
    if not timed:
        return None
    names = [row.name("batch") for row in timed]
    medians = [float(np.median(row.series["latency"])) for row in timed]
    told = "; ".join(f"{name} {median:.3g} ms" for name, median in zip(names, medians, strict=True))
    every = [value for row in timed for value in row.series["latency"]]
    chart = Chart(
        f"Latency of calls with {batch} text{'s' if batch > 1 else ''}",
        f"Cumulative distributions of latency in calls of {batch}; medians: {told}.",
        logarithmic("milliseconds", every),
        linear("calls answered by then", 0.0, 1.0, percent=True),
    )
    for row, name in zip(timed, names, strict=True):
        values = np.quantile(
            row.series["latency"], shares := np.linspace(0, 1, min(len(row.series["latency"]), 60) + 1)
        )
        style = palette(str(row.labels["defence"])) + (" dashed" if "cold" in str(row.labels.get("mode")) else "")
        chart.add("line", list(zip(values.tolist(), shares.tolist(), strict=True)), style, name)
        chart.key.append((style, name))
    return chart


def scaling(rows: Sequence[Row], axis: str, palette: Palette) -> Chart | None:
    """Milliseconds of a pass along one axis; dashed: the FLOPs counted, as if each took the same time throughout."""
    ran = [row for row in rows if row.labels.get("axis") == axis and row.not_run is None]
    places = sorted({int(row.labels[axis]) for row in ran})
    if len(places) < 2:
        return None
    others = {name: ran[0].labels[name] for name in ("length", "batch", "layers") if name != axis}
    chart = Chart(
        f"{axis.capitalize()}, at {', '.join(f'{name} {value}' for name, value in others.items())}",
        f"Milliseconds of a pass for {axis} {places[0]} to {places[-1]}: "
        + "; ".join(f"{name} {own[0]:.3g} to {own[-1]:.3g} ms" for name, own in _times(ran).items())
        + ". Dashed: in proportion to the FLOPs counted.",
        logarithmic({"length": "tokens a text", "batch": "texts a batch"}.get(axis, axis), places, places),
        logarithmic("milliseconds", [row.metrics["milliseconds"].value for row in ran]),
    )
    for name in _times(ran):
        own = sorted((row for row in ran if row.labels["defence"] == name), key=lambda row: int(row.labels[axis]))
        measured = np.array([row.metrics["milliseconds"].value for row in own])
        counted = np.array([row.metrics["gflops"].value for row in own])
        scaled = counted * np.exp(np.mean(np.log(measured / counted)))
        along, style = [float(row.labels[axis]) for row in own], palette(name)
        chart.add("line", list(zip(along, scaled.tolist(), strict=True)), f"{style} thin dashed")
        chart.add("line", list(zip(along, measured.tolist(), strict=True)), style, name)
        for x, y in zip(along, measured.tolist(), strict=True):
            chart.add("dot", [(x, y)], f"{style} small", f"{name}, {axis} {x:g}: {y:.3g} ms")
        chart.key.append((style, name))
    return chart


def _times(rows: Sequence[Row]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(str(row.labels["defence"]), []).append(row.metrics["milliseconds"].value)
    return {name: sorted(values) for name, values in sorted(found.items(), key=lambda item: not is_bare(item[0]))}


def _auc(row: Row) -> str:
    return f"{row.metrics['auc'].value:.3f}" if "auc" in row.metrics else "unknown"
