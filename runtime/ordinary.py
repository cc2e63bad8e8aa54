"""What ordinary texts do to references: how often the words that a second look tries first turn each of them.

That is what second looks cost: a text whose words turn the first reference is tried further.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

from .guard import Guard
from .reading import Reading
from .spans import span_of

TEXTS = 100  # of each class


def turned_shares(guard: Guard, readings: Sequence[Reading]) -> dict[str, float]:
    """For each reference that is asked, by its text: the share of clean texts whose words turn it.

    Args:
        guard: of a calibrated artifact; without transplants there are no references.
        readings: of clean texts; of those that get a second look, the first ``TEXTS`` of each class count.
    """
    judge, found = guard.judge, defaultdict[str, list[float]](list)
    transplants = judge.transplants if judge else None
    if judge is None or transplants is None:
        return {}
    for label in range(len(guard.labels)):
        own = [reading for reading in readings if reading.predicted == label] if transplants.can_try(label) else []
        looks = [(reading, words) for reading in own if (words := judge.first_look(reading))][:TEXTS]
        spans = [span_of(guard.reader.tokenizer, reading, words).put for reading, words in looks]
        tried = guard.reader.follow(transplants.measure(spans, label, transplants.settings.references))
        turned = [transplants.turned(margins, label) for margins in tried]
        for reference, did in zip(transplants.panel(label), zip(*turned, strict=True), strict=False):
            found[reference.text].append(fmean(did))
    return {text: round(fmean(shares), 4) for text, shares in found.items()}
