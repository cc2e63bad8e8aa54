"""The detector's constants as a table: one row per value, one column per model."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from ..bench.sensitivity import Outcome, Variation


def sensitivity_table(measured: Mapping[Variation, Mapping[str, Outcome]]) -> Table:
    """Defaults are bold."""
    table = Table(
        title="one constant at a time",
        caption="triggered texts that the trigger wins / clean texts changed, CACC in points / tokens per token, cold",
    )
    table.add_column("constant")
    table.add_column("value", justify="right")
    for name in next(iter(measured.values()), {}):
        table.add_column(name, justify="right")
    before = ""
    for variation, outcomes in measured.items():
        if before and before != variation.constant:
            table.add_section()
        shown = "" if before == variation.constant else variation.constant
        style = "bold" if variation.usual else None
        table.add_row(shown, f"{variation.value:g}", *map(_cell, outcomes.values()), style=style)
        before = variation.constant
    return table


def _cell(outcome: Outcome) -> str:
    return f"{outcome.attributable:.1%} / {outcome.confirmed:.1%}, {100 * outcome.cacc:+.1f} / {outcome.work:.2f}"
