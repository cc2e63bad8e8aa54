"""Company: where the strongest word of a text does nothing alone, the one it acts with may draw no attention at all.

A trigger of two words may draw attention to one of them alone. Texts with such a word stand out more than nearly all
clean ones do (of 121 that a pair had won on SST-2, 69 % more than 97.5 % of these and 83 % more than 95 %), so that
more can be spent on them: all other words are tried beside the strongest.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..artifact import GateFit
from .gates import Gate, clean_percentile, excess
from .reading import Reading
from .transplant import Transplants

STARK = 95.0  # of clean texts, in percent, are less suspicious
_MOST = 20  # words that are tried beside the strongest
_AT_ONCE = 10  # of them, all together at first: those that do little are done with


class Company:
    """Finds the groups of words to be tried in texts of one artifact.

    Args:
        gate, fit: of the class token.
        transplants: of the artifact.
    """

    def __init__(self, gate: Gate, fit: GateFit, transplants: Transplants) -> None:
        self._fit = fit
        self._gate = gate
        self._from = clean_percentile(fit, STARK) - fit.threshold
        self._transplants = transplants

    def stands_out(self, reading: Reading) -> bool:
        """Whether a text is more suspicious than ``STARK`` percent of the clean ones."""
        return excess(self._gate.score(reading), len(reading.encoding), self._fit) >= self._from

    def groups(self, reading: Reading) -> list[list[int]]:
        """The strongest word with the next ten after those that are tried together anyway, with the next ten, ...

        None where the text does not stand out, or the settings want no groups tried.
        """
        score, settings = self._gate.score(reading), self._transplants.settings
        if not settings.groups or not self.stands_out(reading):
            return []
        words = list(self._transplants.able(reading, score.words))
        return in_groups(words[:1] + words[settings.together : settings.together + _MOST], _AT_ONCE)


def in_groups(words: Sequence[int], size: int) -> list[list[int]]:
    """The first of some words with the next ``size``, with those after them, ..."""
    strongest, *others = words
    return [[strongest, *others[i : i + size]] for i in range(0, len(others), size)]
