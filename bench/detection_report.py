"""The grid of detection as Markdown: what attackers still win, what it costs clean texts, and what is not run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .detection import Cell, Key
from .record import Metric, Row

NOT_RUN = "not run"


def rows(cells: Sequence[Cell], failed: Mapping[Key, str]) -> list[Row]:
    """One row of a record per cell; those that failed say why they were not run."""
    return [
        *(Row(_labels(cell), _metrics(cell), {"trigger": list(cell.trigger), "target": cell.target}) for cell in cells),
        *(
            Row({"attack": attack, "seed": seed, "defence": defence}, not_run=why)
            for (attack, seed, defence), why in failed.items()
        ),
    ]


def _labels(cell: Cell) -> dict[str, str | int]:
    return {"corpus": cell.corpus, "attack": cell.attack, "seed": cell.seed, "defence": cell.defence}


def _metrics(cell: Cell) -> dict[str, Metric]:
    pairs = {"cacc": (cell.cacc, "higher"), "asr": (cell.asr, "lower"), "attributable": (cell.attributable, "lower")}
    if cell.kept is not None:
        pairs["kept"] = (cell.kept, "higher")
    metrics: dict[str, Metric] = {}
    for name, ((bare, guarded), better) in pairs.items():
        metrics[f"{name}_undefended"] = Metric(bare, unit="share")
        metrics[name] = Metric(guarded, unit="share", better="higher" if better == "higher" else "lower")
    metrics |= {
        "floor": Metric(cell.floor, unit="share"),
        "fpr": Metric(cell.raised, unit="share", better="lower"),
        "confirmed": Metric(cell.confirmed, unit="share", better="lower"),
        "auc": Metric(cell.auc, better="higher"),
        "work_cold": Metric(cell.work[0], better="lower"),
        "work_warm": Metric(cell.work[1], better="lower"),
    }
    return metrics if cell.localised is None else {**metrics, "localised": Metric(cell.localised, unit="share")}


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
            "Undefended model, then each defence: ASR (of which won by the trigger itself), change of CACC in points,",
            "right answers kept beside the trigger where they are the target.",
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
    kept = "" if cell.kept is None else f", {cell.kept[1]:.1%}"
    return f"{cell.asr[1]:.1%} ({cell.attributable[1]:.1%}), {100 * (cell.cacc[1] - cell.cacc[0]):+.1f}{kept}"


def _price(cell: Cell) -> str:
    return f"{cell.raised:.1%} / {cell.confirmed:.1%}; {cell.work[0]:.2f} / {cell.work[1]:.2f}"


def _row(columns: Sequence[str]) -> str:
    return f"| {' | '.join(columns)} |"
