"""The grid of purification as Markdown, CSV, JSON and a plot of CACC against ASR."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from ..errors import require
from ..records import to_json
from .purification_cell import Cell

_COLUMNS = ("attack", "purifier", "guarded", "cacc", "asr", "attributable", "seconds")


def write_report(cells: Sequence[Cell], prefix: Path) -> list[Path]:
    """Write PREFIX.md, .csv, .json and .png; each file is replaced whole.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    prefix.parent.mkdir(parents=True, exist_ok=True)
    contents = {".md": markdown(cells), ".csv": _csv(cells), ".json": json.dumps(to_json(list(cells)), indent=2) + "\n"}
    written = []
    for suffix, content in contents.items():
        path = prefix.with_name(prefix.name + suffix)
        part = path.with_suffix(".part")
        part.write_text(content, encoding="utf-8")
        part.replace(path)
        written.append(path)
    return [*written, _plot(cells, prefix.with_name(prefix.name + ".png"))]


def markdown(cells: Sequence[Cell]) -> str:
    """One row per attack and purifier: CACC, ASR and the attributable part of it, without and with the guard."""
    figures = ("CACC", "ASR", "attributable")
    columns = ("attack", "purifier", *figures, *(f"guarded {name}" for name in figures))
    lines = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    by_key = {(cell.attack, cell.purifier, cell.guarded): cell for cell in cells}
    for attack, purifier in dict.fromkeys((cell.attack, cell.purifier) for cell in cells):
        bare, guarded = (_figures(by_key.get((attack, purifier, guarded))) for guarded in (False, True))
        lines.append(f"| {attack} | {purifier} | {bare} | {guarded} |")
    return "\n".join(lines) + "\n"


def _figures(cell: Cell | None) -> str:
    return f"{cell.cacc:.1%} | {cell.asr:.1%} | {cell.attributable:.1%}" if cell else "not run | not run | not run"


def _csv(cells: Sequence[Cell]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow((*_COLUMNS, "seed"))
    for cell in cells:
        writer.writerow((*(getattr(cell, column) for column in _COLUMNS), cell.settings.seed))
    return stream.getvalue()


def _plot(cells: Sequence[Cell], path: Path) -> Path:
    """Colour is the purifier, shape the attack; filled points are guarded."""
    matplotlib = require("matplotlib", "bench")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    colours = {name: f"C{i}" for i, name in enumerate(dict.fromkeys(cell.purifier for cell in cells))}
    shapes = dict(zip(dict.fromkeys(cell.attack for cell in cells), "osD^vP*X", strict=False))
    figure, axes = plt.subplots(figsize=(7, 5))
    for cell in cells:
        colour = colours[cell.purifier]
        face = colour if cell.guarded else "none"
        axes.scatter(100 * cell.asr, 100 * cell.cacc, marker=shapes[cell.attack], edgecolors=colour, facecolors=face)
    for name, colour in colours.items():
        axes.scatter([], [], marker="s", color=colour, label=name)
    for name, shape in shapes.items():
        axes.scatter([], [], marker=shape, edgecolors="black", facecolors="none", label=name)
    axes.scatter([], [], marker="o", color="black", label="filled: guarded")
    axes.set_xlabel("ASR, % (lower is better)")
    axes.set_ylabel("CACC, %")
    axes.legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    plt.close(figure)
    return path
