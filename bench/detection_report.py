"""The grid of detection as Markdown: what attackers still win, what it costs clean texts, and what is not run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ..files import replace_text
from ..records import to_json
from .detection import Cell

NOT_RUN = "not run"


def write_report(
    cells: Sequence[Cell], attacks: Sequence[str], seeds: Sequence[int], defences: Sequence[str], prefix: Path
) -> list[Path]:
    """Write PREFIX.md and PREFIX.json; each file is replaced whole."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    contents = {
        ".md": markdown(cells, attacks, seeds, defences),
        ".json": json.dumps(to_json(list(cells)), indent=1, ensure_ascii=False) + "\n",
    }
    written = [prefix.with_name(prefix.name + suffix) for suffix in contents]
    for path, content in zip(written, contents.values(), strict=True):
        replace_text(path, content)
    return written


def markdown(cells: Sequence[Cell], attacks: Sequence[str], seeds: Sequence[int], defences: Sequence[str]) -> str:
    """Two tables, one row per planted model: success of the attack, and the price on clean texts."""
    found = {(cell.attack, cell.seed, cell.defence): cell for cell in cells}
    success = [_row(["attack", "seed", "trigger", "CACC", "ASR", "without trigger", *defences])]
    price = [_row(["attack", "seed", *defences])]
    for table in (success, price):
        table.append(_row(["---"] * (table[0].count("|") - 1)))
    for seed in seeds:
        for attack in attacks:
            row = [found.get((attack, seed, defence)) for defence in defences]
            done = next((cell for cell in row if cell), None)
            bare = _bare(done) if done else [NOT_RUN] * 4
            success.append(_row([attack, str(seed), *bare, *(_success(cell) if cell else NOT_RUN for cell in row)]))
            price.append(_row([attack, str(seed), *(_price(cell) if cell else NOT_RUN for cell in row)]))
    return "\n".join(
        [
            "Undefended model, then each defence: ASR (of which won by the trigger itself), change of CACC in points.",
            "",
            *success,
            "",
            "Clean texts: raised by the gate / changed; tokens read per token of the first passes, cold / warm.",
            "",
            *price,
            "",
        ]
    )


def _bare(cell: Cell) -> list[str]:
    return [", ".join(cell.trigger), f"{cell.cacc[0]:.1%}", f"{cell.asr[0]:.1%}", f"{cell.floor:.1%}"]


def _success(cell: Cell) -> str:
    return f"{cell.asr[1]:.1%} ({cell.attributable[1]:.1%}), {100 * (cell.cacc[1] - cell.cacc[0]):+.1f}"


def _price(cell: Cell) -> str:
    return f"{cell.raised:.1%} / {cell.confirmed:.1%}; {cell.work[0]:.2f} / {cell.work[1]:.2f}"


def _row(columns: Sequence[str]) -> str:
    return f"| {' | '.join(columns)} |"
