"""The report: records in, one self-contained HTML page and a Markdown summary out; nothing is measured here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError, TokenwardError, require
from ..files import replace_text
from ..records import from_json
from .purification_cell import Cell
from .record import Record
from .report_sections import headlines, sections

_TEMPLATES = Path(__file__).parent / "templates"


def write_report(records: Sequence[Record], out: Path, title: str, cells: Sequence[Cell] = ()) -> tuple[Path, Path]:
    """Write the page to ``out`` and the summary beside it as Markdown; return both paths.

    Args:
        records: what was measured, see :func:`~.record.read_records`.
        cells: of a grid of purifiers, see :func:`read_cells`.

    Raises:
        InputError: no records.
        MissingExtraError: Jinja2 is not installed.
    """
    if not records:
        raise InputError("nothing to report: give records that 'tokenward bench … --json' wrote")
    jinja2 = require("jinja2", "bench")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=jinja2.select_autoescape(("html.j2", "svg.j2")),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = lambda text: text.replace("|", "\\|")
    content = {
        "title": title,
        "headlines": headlines(records),
        "sections": sections(records, cells),
        "records": records,
    }
    summary = out.with_suffix(".md")
    out.parent.mkdir(parents=True, exist_ok=True)
    for path, template in ((out, "report.html.j2"), (summary, "report.md.j2")):
        replace_text(path, environment.get_template(template).render(content))
    return out, summary


def check_page(out: Path) -> None:
    """Raise before anything is measured in vain.

    Raises:
        InputError: the page's name does not end in .html: the summary, which goes beside it, might take its place.
    """
    if out.suffix != ".html":
        raise InputError(f"--out is '{out}': give a file that ends in .html")


def read_cells(path: Path) -> list[Cell]:
    """Read the grid of purifiers that `tokenward evaluate` wrote.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    try:
        return [
            from_json(Cell, item, f"{path.name}[{n}]") for n, item in enumerate(json.loads(path.read_text("utf-8")))
        ]
    except (OSError, ValueError, TypeError, TokenwardError) as error:
        why = error if isinstance(error, TokenwardError) else "it is no list of cells"
        raise InputError(f"'{path}': {why}: give the .json that 'tokenward evaluate' wrote") from error
