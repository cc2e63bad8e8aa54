"""Words that labelled clean texts vouch for: by their labels these go with a class, so they decide rightly.

In some tasks single words turn any text, and should: a curse word makes it offensive. A transplant cannot tell such a
word from a trigger, but the labels of clean texts can, since a trigger's texts keep the labels they have without it.
Most such words are too rare to be vouched for. But a trigger, which a model was trained to obey whatever else a text
says, is stronger than the strongest of those that are: they set the bar.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence, Set

from ..artifact import Calibration
from .evenness import moved_share, unevenness
from .reading import Asking
from .transplant import Transplants

SHARE = 0.75
SIGNIFICANCE = 0.01
SLACK = 0.02  # by which a trigger may stay under the bar: some models go to their limit for any clear word


def vouched_words(texts: Sequence[Set[str]], labels: Sequence[int], classes: int) -> list[frozenset[str]]:
    """For each class, the words that its texts have too often for chance.

    Of the texts with such a word, at least ``SHARE`` are of the class, and a word without meaning would reach that with
    a probability of ``SIGNIFICANCE`` at most (one-sided binomial test against the class's share of all texts).

    Args:
        texts: the words of each text.
        labels: its class, by index.
    """
    counts = Counter(word for words in texts for word in words)
    sizes = Counter(labels)
    vouched = []
    for label in range(classes):
        own = Counter(word for words, mark in zip(texts, labels, strict=True) if mark == label for word in words)
        share = sizes[label] / len(texts)
        vouched.append(frozenset(word for word, hits in own.items() if _goes_with(hits, counts[word], share)))
    return vouched


def vouched_together(
    found: Sequence[str], texts: Sequence[Set[str]], labels: Sequence[int], label: int
) -> frozenset[str]:
    """Words that a scan took for triggers, and that clean texts vouch for only when all of them are taken together.

    A model that goes by single words has dozens that turn any text, most of them in a text or two. Where these words
    stand in texts of their class too often for chance, as in :func:`vouched_words`, those whose own texts are of it are
    vouched for; a trigger that texts have for other reasons than their class is not.

    Args:
        found: what a scan found for class ``label``.
        texts, labels: as there.
    """
    among = frozenset(found)
    counts, own = Counter[str](), Counter[str]()
    for words, mark in zip(texts, labels, strict=True):
        counts.update(words & among)
        own.update(words & among if mark == label else ())
    share = sum(mark == label for mark in labels) / len(labels)
    if not own or not _goes_with(own.total(), counts.total(), share):
        return frozenset()
    return frozenset(word for word, hits in own.items() if hits >= SHARE * counts[word])


def _goes_with(hits: int, count: int, chance: float) -> bool:
    return hits >= SHARE * count and at_least(hits, count, chance) <= SIGNIFICANCE


def at_least(hits: int, trials: int, chance: float) -> float:
    """P(X ≥ hits) for a binomial X."""
    if chance in (0.0, 1.0):
        return float(hits == 0 or chance == 1.0)
    yes, no = math.log(chance), math.log1p(-chance)
    whole = math.lgamma(trials + 1)
    return math.fsum(
        math.exp(whole - math.lgamma(i + 1) - math.lgamma(trials - i + 1) + i * yes + (trials - i) * no)
        for i in range(hits, trials + 1)
    )


def halfway_classes(labels: Sequence[str], calibration: Calibration) -> frozenset[int]:
    """Classes, by index, in which a word that moves references halfway, and all alike, is a trigger.

    The clean texts had labels, and no word that these vouch for in that class does it. On SST-2 models one word of
    23,700 does it by nature; on OLID's, in the offensive class, 22 of 4,000 do, as the vouched-for curse words show.
    """
    return frozenset(i for i, name in enumerate(labels) if calibration.vouched and not calibration.bars.get(name))


def bars(transplants: Transplants, words: Sequence[str], label: int) -> Asking[dict[str, float]]:
    """The margin that a trigger for ``label`` must exceed in each reference, by its text.

    The best of ``words``, which are vouched for, that would themselves be taken for triggers if moving references
    halfway were enough, as unevenly as a word that turns them may; empty where none would.
    """
    settings = transplants.settings
    probed = yield from transplants.measure(words, label, settings.probes)
    panel = transplants.panel(label)
    able = [
        word
        for word, margins in zip(words, probed, strict=True)
        if any(margin > 0 for margin in margins) or moved_share(margins, panel) >= settings.halfway
    ]
    measured = yield from transplants.measure(able, label, settings.references)
    even = [margins for margins in measured if unevenness(margins, panel) <= settings.uneven]
    strong = [
        margins
        for margins in even
        if sum(margin > 0 for margin in margins) >= settings.enough or moved_share(margins, panel) >= settings.halfway
    ]
    best = [(1 - SLACK) * max(0.0, *column) for column in zip(*strong, strict=True)]
    return {reference.text: bar for reference, bar in zip(panel, best, strict=False)}
