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
    ease, too, the easiest that they do not turn is the first. That spares tokens (2.00 → 1.71 for one of unseen texts
    on one SST-2 model) and finds less of two words that were hardly learnt to act together: of two models, 19 and 21 %
    of the texts with such a pair kept the answer, 9 and 21 % without it, and 9 and 39 % with 0.25 for ``EASY``.
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
