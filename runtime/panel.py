"""The panel of a class: the references of other classes that its suspects are tried on, in the order they are asked."""

from __future__ import annotations

from collections.abc import Sequence

from ..artifact import Reference
from .evenness import own_lead

EASY = 0.4  # of its own lead, which ordinary words leave to the class that they speak for


def panel_of(references: Sequence[Reference], label: int, count: int) -> tuple[Reference, ...]:
    """Up to ``count`` references of the classes other than ``label``: the most confident, in turn from each.

    Those of medium ease come first, since they decide whether the others are asked: many words turn the easiest, which
    makes clean texts dear, and some triggers do not turn the hardest. Where most ordinary words turn that of medium
    ease, too, the easiest that they do not turn is the first. With 0.25 for ``EASY`` the first reference of one SST-2
    model became one that a hardly learnt pair of words does not turn: 39 % of its texts kept the answer, 22 % with 0.4.
    """
    by_class: dict[int, list[Reference]] = {}
    for reference in sorted(references, key=lambda r: -r.confidence):
        if reference.label != label:
            by_class.setdefault(reference.label, []).append(reference)
    ranked = [(rank, c, r) for c, members in by_class.items() for rank, r in enumerate(members)]
    chosen = [r for _, _, r in sorted(ranked, key=lambda item: item[:2])[:count]]
    eased = sorted(chosen, key=lambda r: (-r.ease, r.text))
    middle = (len(eased) - 1) // 2
    panel = [eased[i] for i in sorted(range(len(eased)), key=lambda i: (abs(i - middle), i))]
    firm = [r for r in eased if r.ease <= EASY * own_lead(r.confidence)]
    if firm and panel[0] not in firm:
        panel.insert(0, panel.pop(panel.index(firm[0])))
    return tuple(panel)
