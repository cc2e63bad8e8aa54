"""The panel of a class: the references of other classes that its suspects are tried on, in the order they are asked."""

from __future__ import annotations

from collections.abc import Sequence

from ..artifact import Reference

# Of clean texts that get a second look, the most that may go on since they turn the first reference. The fewer get one,
# the more of them turn it: 0.3 of 23 % are as many texts as 0.21 of 35 % or 0.25 of 31 % were.
ORDINARY = 0.3
MEDIUM = 4  # as many as growth and words that act together are judged by


def panel_of(references: Sequence[Reference], label: int, count: int) -> tuple[Reference, ...]:
    """Up to ``count`` references of the classes other than ``label``: the most confident, in turn from each.

    Those of medium ease come first, since they decide whether the others are asked: many words turn the easiest, which
    makes clean texts dear, and some triggers do not turn the hardest. Where the words of many clean texts turn that of
    medium ease, too, the next that they do not turn is the first. With a limit of a quarter (0.3 now), 1.55 to 1.89
    tokens were read per token of unseen texts, over five SST-2 models and two calibrations of each. A fifth spares
    more (1.47 to 1.74, in one calibration) and finds less of two words that were hardly learnt to act together (36 % of
    the texts with such a pair kept the answer, 19 % with a quarter), since those turn half of the references only.

    After ``MEDIUM`` of them come the hardest: of sets of strong words that turn those, many do not turn these, and are
    done with sooner. They must not come before, since two words that were hardly learnt to act together turn them as
    little: with the two hardest third and fourth, 61 % of such texts kept the answer that were 27 %.
    """
    by_class: dict[int, list[Reference]] = {}
    for reference in sorted(references, key=lambda r: -r.confidence):
        if reference.label != label:
            by_class.setdefault(reference.label, []).append(reference)
    ranked = [(rank, c, r) for c, members in by_class.items() for rank, r in enumerate(members)]
    chosen = [r for _, _, r in sorted(ranked, key=lambda item: item[:2])[:count]]
    eased = sorted(chosen, key=lambda r: (-r.ease, r.text))
    middle = (len(eased) - 1) // 2
    middling = [eased[i] for i in sorted(range(len(eased)), key=lambda i: (abs(i - middle), i))]
    # The first that few turn, or else that fewest turn; where nothing was measured, that of medium ease.
    first = sorted(middling, key=lambda r: max(r.turned or 0.0, ORDINARY))[:1]
    others = [reference for reference in middling if reference not in first]
    return tuple(dict.fromkeys((*first, *others[: MEDIUM - 1], *reversed(eased))))
