"""A scan's findings, as a table for people and as JSON for pipelines."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from rich.table import Table
from rich.text import Text

from ..files import replace_text
from ..runtime.scan import ScanReport


def findings_table(report: ScanReport, top: int) -> Table:
    """The ``top`` findings, the most telling first."""
    table = Table(title=f"words that turn references ({len(report.findings)} of {report.words})")
    for column in ("word", "turns to", "references", "mean margin", "moved by", "uneven by", "only in", ""):
        table.add_column(
            column, justify="right" if column in ("references", "mean margin", "moved by", "uneven by") else "left"
        )
    for finding in report.findings[:top]:
        table.add_row(
            Text(finding.word),
            Text(finding.label),
            f"{finding.turned} of {finding.references}",
            f"{finding.margin:+.2f}",
            f"{finding.moved:.0%}",
            f"{finding.unevenness:.0%}",
            Text(finding.only),
            Text("trigger", "bold red") if finding.confirmed else "",
        )
    return table


def write_findings(report: ScanReport, path: Path) -> None:
    """Write the whole report, beside the file first and then in its place."""
    document = {**asdict(report), "triggers": [finding.word for finding in report.triggers]}
    replace_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
