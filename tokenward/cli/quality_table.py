"""What a defence buys, one column per artifact."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from rich.table import Table

from ..attacks.metrics import Detection
from ..bench.quality import Quality
from ..files import replace_text
from ..records import to_json


def quality_table(measured: Mapping[str, Quality]) -> Table:
    """One row per figure."""
    table = Table(title="undefended → defended")
    table.add_column("")
    for name in measured:
        table.add_column(name, justify="right")
    rows = {
        "accuracy on clean texts (CACC)": lambda q: _change(q.cacc),
        "attack success (ASR)": lambda q: _change(q.asr),
        "  of which without any trigger": lambda q: f"{q.floor:.1%}",
        "  won by the trigger itself": lambda q: _change(q.attributable),
        "raised by the gate, triggered / clean": lambda q: _both(q.suspicious),
        "neutralised, triggered / clean": lambda q: _both(q.neutralised),
        "AUC of the gate's score": lambda q: f"{q.auc:.4f}",
        "suspect is the trigger": lambda q: "–" if q.localised is None else f"{q.localised:.1%}",
        "tokens read per token, cold / warm": lambda q: f"{q.work[0]:.2f} / {q.work[1]:.2f}",
    }
    for title, cell in rows.items():
        table.add_row(title, *map(cell, measured.values()))
    return table


def write_quality(measured: Mapping[str, Quality], path: Path) -> None:
    """Write the figures as JSON, beside the file first and then in its place."""
    replace_text(path, json.dumps({name: to_json(q) for name, q in measured.items()}, indent=2) + "\n")


def _change(pair: tuple[float, float]) -> str:
    return f"{pair[0]:.1%} → {pair[1]:.1%}"


def _both(shares: Detection) -> str:
    return f"{shares.tpr:.1%} / {shares.fpr:.1%}"
