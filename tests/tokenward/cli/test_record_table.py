"""Tables of records on a narrow terminal: names and numbers are all there."""

from __future__ import annotations

import io

from rich.console import Console

from tokenward.bench.record import Metric, Row
from tokenward.cli.quality_table import quality_tables

METRICS = ("cacc", "asr", "attributable", "tpr", "fpr", "auc", "localised", "second_passes")


def test_no_name_and_no_number_is_cut_on_eighty_columns() -> None:
    full = Metric(1.0, 1.0, 1.0, "share")
    names = ["tokenward fp32", "bare ONNX Runtime", "X-GRAAD"]
    rows = [Row({"attack": "badnets", "defence": name}, dict.fromkeys(METRICS, full)) for name in names]
    out = io.StringIO()
    for table in quality_tables(rows):
        Console(file=out, width=80).print(table)
    text = out.getvalue()
    assert "…" not in text
    assert all(word in text for name in names for word in name.split())
    assert text.count("100.0") == text.count("100–100") == len(names) * len(METRICS)
