"""Distinct texts: a text that comes twice shows no more than one, whatever is counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence


def distinct(texts: Sequence[str], labels: Sequence[int] | None = None) -> tuple[list[str], list[int] | None]:
    """Each text once, blanks between words aside, in the order in which they first come.

    Args:
        texts: any texts.
        labels: one for each; of those of equal texts the one that most have is taken, the first of several such.
    """
    first: dict[str, str] = {}
    votes: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for number, text in enumerate(texts):
        folded = " ".join(text.split())
        first.setdefault(folded, text)
        if labels is not None:
            votes[folded][labels[number]] += 1
    chosen = [votes[folded].most_common(1)[0][0] for folded in first] if labels is not None else None
    return [*first.values()], chosen
