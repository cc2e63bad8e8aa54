"""A table of a record's rows; what was not run stands below with the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rich.table import Table

from ..bench.record import Row


def record_table(
    title: str,
    columns: Iterable[str],
    rows: Sequence[Row],
    name: Callable[[Row], str],
    cells: Callable[[Row], Iterable[str]],
) -> Table:
    """One line per row that was run: its name, then its cells."""
    missing = [f"{name(row)}: not run: {row.not_run}" for row in rows if row.not_run is not None]
    table = Table(
        title=title,
        caption="\n".join(missing) or None,
        title_justify="left",
        caption_justify="left",
        box=None,
        padding=(0, 1, 0, 0),
        header_style="dim",
    )
    words = (word for row in rows for word in name(row).split())
    table.add_column("", min_width=max(map(len, words), default=0))
    for column in columns:
        table.add_column(column, justify="right", min_width=6)
    for row in rows:
        if row.not_run is None:
            table.add_row(name(row), *cells(row))
    return table
