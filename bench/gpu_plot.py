"""The GPU figures as a picture: how many times a bare forward pass each way of answering costs."""

from __future__ import annotations

import csv
from pathlib import Path

from ..errors import require
from .gpu_systems import BARE, COMPILED, GATED, GUARDED, PLAIN

_ORDER = (COMPILED, GATED, GUARDED, PLAIN)


def draw(source: Path, target: Path) -> None:
    """Draw the latest figure of every shape and system of the file."""
    matplotlib = require("matplotlib", "bench")
    matplotlib.use("Agg")
    plt = require("matplotlib.pyplot", "bench")
    with source.open(newline="", encoding="utf-8") as stream:
        latest = {
            ((row["model"], int(row["tokens"]), int(row["texts"])), row["system"]): float(row["p50_ms"])
            for row in csv.DictReader(stream)
            if row["p50_ms"]
        }
    shapes = sorted(shape for shape, system in latest if system == BARE)
    figure, axes = plt.subplots(figsize=(max(6.0, 0.6 * len(shapes)), 4.5), layout="constrained")
    for system in _ORDER:
        known = [(i, shape) for i, shape in enumerate(shapes) if (shape, system) in latest]
        axes.plot(
            [i for i, _ in known], [latest[shape, system] / latest[shape, BARE] for _, shape in known],
            marker="o", linestyle="none", label=system,
        )  # fmt: skip
    axes.axhline(1.0, color="black", linewidth=0.8)
    axes.set_yscale("log", base=2)
    axes.set_ylabel(f"time, in units of {BARE}")
    axes.set_xticks(range(len(shapes)), [f"{m.removeprefix('BERT-')}\n{b} × {s}" for m, s, b in shapes], fontsize=7)
    axes.legend(fontsize=8)
    part = target.with_name(target.name + ".part")
    figure.savefig(part, dpi=150, format="png")
    plt.close(figure)
    part.replace(target)
