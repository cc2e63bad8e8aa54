"""What the report says, section by section, from records alone: a section is there if there is a record for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..records import from_json
from . import report_charts as charts
from .chart import Chart
from .examples import Example
from .purification_cell import Cell
from .record import Metric, Record, Row
from .report_names import Palette, is_bare, written
from .report_tables import Table, purification_table, rows_table

_ANSWERS = ("cacc", "asr", "attributable", "floor", "kept", "altered_clean", "work_cold", "work_warm")
_FOUND = ("tpr", "fpr", "tpr_at_5", "auc", "localised", "second_passes")
_LAW = ("ms_per_gflop", "ms_per_megabyte", "ms_per_operator", "median_error", "largest_error")
_OWN_SECTIONS = ("quality", "overhead", "scaling", "examples")


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it."""

    title: str
    text: str
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()
    examples: tuple[Example, ...] = ()

    @property
    def in_threes(self) -> bool:
        """Its charts stand three abreast where there is room."""
        return len(self.charts) >= 3 and len({chart.height for chart in self.charts}) == 1


@dataclass(frozen=True)
class Headline:
    """One of the figures that stand at the top."""

    what: str
    figure: str
    detail: str


def headlines(records: Sequence[Record]) -> list[Headline]:
    """Cost and protection of the first guarded artifact; only what was measured."""
    found: list[Headline] = []
    quality = _rows(records, "quality")
    guarded = [row for row in quality if "asr" in row.metrics and not is_bare(str(row.labels["defence"]))]
    for attack in dict.fromkeys(row.labels["attack"] for row in guarded):
        row = next(row for row in guarded if row.labels["attack"] == attack)
        asr, bare = row.metrics["asr"], _undefended(quality, attack, "asr")
        figure = f"{_percent(bare)} → {_percent(asr)}" if bare else _percent(asr)
        floor = row.metrics.get("floor") or _undefended(quality, attack, "floor")
        errors = f"; {_percent(floor)} of them without the trigger" if floor else ""
        detail = f"{row.labels['defence']}: {written(asr)}{errors}"
        found.append(Headline(f"{attack}: texts with the attacker's answer", figure, detail))
    if guarded:
        row = guarded[0]
        cacc, bare = row.metrics["cacc"], _undefended(quality, row.labels["attack"], "cacc")
        figure = f"{_percent(bare)} → {_percent(cacc)}" if bare else _percent(cacc)
        found.append(Headline("Accuracy on clean texts", figure, f"{row.labels['defence']}: {written(cacc)}"))
    costs = charts.costs(_rows(records, "overhead"))
    for name, cost in costs.items():
        if not is_bare(name):
            detail = f"{name}, cold cache, calls of {charts.BATCH}: {written(cost)}"
            found.append(Headline("Time, bare ONNX Runtime = 1", f"× {cost.value:.2f}", detail))
            break
    return found


def sections(records: Sequence[Record], cells: Sequence[Cell]) -> list[Section]:
    """Every section that there are records for, in reading order."""
    palette = Palette(records)
    makers: tuple[Callable[[], list[Section]], ...] = (
        lambda: _protection(records, palette),
        lambda: _overhead(records, palette),
        lambda: _detection(records, palette),
        lambda: _scaling(records),
        lambda: _examples(records),
        lambda: [_purification(cells)] if cells else [],
        lambda: [_others(record) for record in records if record.kind not in _OWN_SECTIONS],
    )
    return [section for make in makers for section in make()]


def _protection(records: Sequence[Record], palette: Palette) -> list[Section]:
    quality = _rows(records, "quality")
    if not quality:
        return []
    costs = charts.costs(_rows(records, "overhead"))
    drawn = [charts.protection(attack, quality, costs, palette) for attack in _attacks(quality)]
    text = (
        "Each defence stands where its cost and its protection put it: the lower left corner is free and safe. Cost is "
        f"the time of calls with {charts.BATCH} texts and a cold cache. CACC is accuracy on clean texts, ASR the share "
        "of triggered texts of other classes that get the attacker's answer; with 95% intervals over texts."
    )
    table = rows_table("Answers kept and attacks stopped", quality, _ANSWERS)
    return [Section("Cost against protection", text, _only(drawn), (table,))]


def _overhead(records: Sequence[Record], palette: Palette) -> list[Section]:
    made = []
    for record in records:
        if record.kind != "overhead":
            continue
        batches = dict.fromkeys(row.labels["batch"] for row in record.rows if "batch" in row.labels)
        bars = [charts.overhead_bars(record.rows, batch, palette) for batch in batches]
        curves = [charts.latencies(record.rows, batch, palette) for batch in batches]
        text = (
            f"Text in, answer out, on {record.machine.threads} threads of {record.machine.cpu}; all systems in "
            "turn, in shuffled order. Ratios are taken round by round; figures are medians with their "
            "quartiles. Passes are counted per text."
        )
        table = rows_table("Cost of every system", [_with_cost(row) for row in record.rows])
        made.append(Section("Overhead", text, _only(bars + curves), (table,)))
    return made


def _detection(records: Sequence[Record], palette: Palette) -> list[Section]:
    quality = _rows(records, "quality")
    curves = _only([charts.roc(attack, quality, palette) for attack in _attacks(quality)])
    piles = _only([charts.histogram(row, palette) for row in quality])
    if not curves:
        return []
    text = (
        "How well each score tells triggered texts from clean ones: the curves at every threshold, the table at the "
        "one that was calibrated, with 95% intervals."
    )
    ran = [row for row in quality if "auc" in row.metrics]
    table = rows_table("Texts found", ran, _FOUND)
    under = "Grey: clean texts; in colour: texts with the trigger; dashed: the threshold, set on other clean texts."
    return [Section("Detection", text, curves, (table,)), Section("Scores and thresholds", under, piles)]


def _scaling(records: Sequence[Record]) -> list[Section]:
    made = []
    for record in records:
        if record.kind != "scaling":
            continue
        shape, palette = record.settings, Palette([record])
        text = (
            f"Random weights, width {shape.get('hidden')}, {shape.get('inner')} inside the feed-forward layers. Dashed "
            "lines are in proportion to the FLOPs that ONNX Runtime's own profile counts. For a model of your own: "
            "milliseconds = a·GFLOP + b·MB + c·operators."
        )
        drawn = [charts.scaling(record.rows, axis, palette) for axis in ("length", "batch", "layers")]
        fits = [row for row in record.rows if "fit" in row.labels]
        tables = (
            rows_table("Cost grows with the axis to the power of", [r for r in fits if r.labels["fit"] != "law"]),
            rows_table("The fitted law", [row for row in fits if row.labels["fit"] == "law"], _LAW),
            rows_table("Every shape", [row for row in record.rows if "fit" not in row.labels], folded=True),
        )
        made.append(Section("Scaling", text, _only(drawn), tuple(table for table in tables if table.rows)))
    return made


def _examples(records: Sequence[Record]) -> list[Section]:
    drawn = [
        from_json(Example, item, "example")
        for record in records
        if record.kind == "examples"
        for item in record.content.get("examples", ())
    ]
    text = (
        "Test texts drawn at random, each without and with the trigger, whatever was answered. Colour: what the gate "
        "looks at, relative to the hottest token. Outlined: what was taken out."
    )
    return [Section("Real texts", text, examples=tuple(drawn))] if drawn else []


def _purification(cells: Sequence[Cell]) -> Section:
    text = "Accuracy and attack success of purified models, alone and with the guard behind them."
    return Section("Purification", text, tables=(purification_table(cells),))


def _others(record: Record) -> Section:
    return Section(
        record.kind.capitalize(), f"Measured by {record.command}.", tables=(rows_table(record.kind, record.rows),)
    )


def _with_cost(row: Row) -> Row:
    """The row with time in place of speed, as the plots have it."""
    metrics = {
        "cost" if name == "times_bare" else name: charts.cost(metric) if name == "times_bare" else metric
        for name, metric in row.metrics.items()
    }
    return replace(row, metrics=metrics)


def _rows(records: Sequence[Record], kind: str) -> list[Row]:
    return [row for record in records if record.kind == kind for row in record.rows]


def _attacks(quality: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(str(row.labels["attack"]) for row in quality))


def _undefended(quality: Sequence[Row], attack: Any, metric: str) -> Metric | None:
    rows = (row for row in quality if row.labels["attack"] == attack and is_bare(str(row.labels["defence"])))
    return next((row.metrics[metric] for row in rows if metric in row.metrics), None)


def _only(drawn: Sequence[Chart | None]) -> tuple[Chart, ...]:
    return tuple(chart for chart in drawn if chart is not None)


def _percent(metric: Metric) -> str:
    return f"{metric.value:.1%}"
