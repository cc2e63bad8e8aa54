"""Tables of the report: any record's rows, one column a figure; a cell that was not run says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .purification_cell import Cell
from .record import Row
from .report_names import title, written


@dataclass(frozen=True)
class Table:
    """Rows of text; the first ``names`` columns say what a row is, and ``folded`` ones are shown when asked for."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    names: int = 1
    folded: bool = False


def rows_table(caption: str, rows: Sequence[Row], only: Sequence[str] | None = None, folded: bool = False) -> Table:
    """Labels first, then every figure that any of the rows has, or ``only`` those that are named."""
    labels = list(dict.fromkeys(name for row in rows for name in row.labels))
    there = dict.fromkeys(name for row in rows for name in row.metrics)
    metrics = [name for name in (only or there) if name in there]
    filled = []
    for row in rows:
        found = [str(row.labels.get(name, "")) for name in labels]
        if row.not_run is not None:
            found += [f"not run: {row.not_run}", *[""] * (len(metrics) - 1)]
        else:
            found += [written(row.metrics[name], name) if name in row.metrics else "–" for name in metrics]
        filled.append(tuple(found))
    return Table(caption, tuple(map(title, [*labels, *metrics])), tuple(filled), len(labels), folded)


def purification_table(cells: Sequence[Cell]) -> Table:
    """Attacks × purifiers, without and with the guard behind them."""
    by_key = {(cell.attack, cell.purifier, cell.guarded): cell for cell in cells}
    figures, rows = ("CACC", "ASR", "won by the trigger"), []
    for attack, purifier in dict.fromkeys((cell.attack, cell.purifier) for cell in cells):
        row = [attack, purifier]
        for guarded in (False, True):
            cell = by_key.get((attack, purifier, guarded))
            row += (
                [f"{x:.1%}" for x in (cell.cacc, cell.asr, cell.attributable)] if cell else ["not run"] * len(figures)
            )
        rows.append(tuple(row))
    columns = ("attack", "purifier", *figures, *(f"{figure}, guarded" for figure in figures))
    return Table("Cleaning the model before it is served", columns, tuple(rows), 2)
