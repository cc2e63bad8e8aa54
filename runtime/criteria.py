"""Criteria: what the margins of a span in the references of a panel show, and when it is a trigger.

A span that turns all of them, or a word that turns nearly all, is a trigger, if it moves them evenly; so is a word that
moves all alike and far without turning them. Where clean labels vouch for words that do so, a trigger must outdo those.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

from ..artifact import Reference
from .cache import Margins
from .evenness import moved_share, unevenness
from .known import KnownTriggers
from .panel import panel_of
from .spans import Span
from .transplant_settings import TransplantSettings


@dataclass(frozen=True, slots=True)
class Trial:
    """What a suspect did: the span after growth, which of the references that it was put into it turned, how evenly.

    Attributes:
        moved: as in :func:`.evenness.moved_share`.
        led: what the strongest of several words does alone; None where that was not asked.
    """

    span: Span
    turned: tuple[bool, ...]
    unevenness: float
    moved: float
    confirmed: bool
    led: float | None = None


class Criteria:
    """Judges margins in the references of one artifact.

    Args:
        references, classes, settings: of the artifact.
        bars: for each class, the margin to be exceeded in references by their texts; 0 where none is given.
        halfway: classes in which a word alone need only move references halfway (see :mod:`.vouching`).
        known: words that a scan has confirmed.
        leeway: for each class, how much of the usual unevenness a trigger may have (see :mod:`.leeway`).

    Attributes:
        settings, known: as given.
    """

    def __init__(
        self,
        references: Sequence[Reference],
        classes: int,
        settings: TransplantSettings,
        bars: Sequence[Mapping[str, float]],
        halfway: Set[int],
        known: KnownTriggers,
        leeway: Sequence[float],
    ) -> None:
        self.settings = settings
        self._halfway = halfway
        self.known = known
        self._leeway = leeway or [1.0] * classes
        self._outdone = bars or [{}] * classes
        self._take(references)

    def restrict(self, references: Sequence[Reference]) -> None:
        """Go by other references, which meet a condition: what acts there must turn all, and evenly."""
        even = self.settings.uneven_conditional
        self.settings = replace(self.settings, enough=self.settings.references, uneven=even, uneven_together=even)
        self._halfway = frozenset()
        self._take(references)

    def _take(self, references: Sequence[Reference]) -> None:
        panels = [panel_of(references, label, self.settings.references) for label in range(len(self._leeway))]
        bars = zip(panels, self._outdone, strict=True)
        self._bars = [[own.get(reference.text, 0.0) for reference in panel] for panel, own in bars]
        self._panels = panels

    def panel(self, label: int) -> tuple[Reference, ...]:
        """The references that a suspect for class ``label`` is tried on: confident texts of the other classes."""
        return self._panels[label]

    def can_try(self, label: int) -> bool:
        """Whether there are enough references of other classes."""
        return len(self._panels[label]) >= self.settings.references

    def least(self, label: int) -> float:
        """How far a word alone must move a reference to be worth trying further, as a share of its lead."""
        return self.settings.halfway if label in self._halfway else 1.0

    def turned(self, margins: Margins, label: int) -> tuple[bool, ...]:
        """In which references of its panel ``label`` leads, by more than natural words make it lead there."""
        return tuple(margin > bar for margin, bar in zip(margins, self._bars[label], strict=False))

    def moved(self, margins: Margins, label: int) -> float:
        """How far words with these margins move the references of a panel (see :func:`.evenness.moved_share`)."""
        return moved_share(margins, self._panels[label])

    def stirred(self, margins: Margins, label: int) -> bool:
        """Whether a word alone does so much to the references that it is worth trying further."""
        return self._far(margins, label) or any(self.turned(margins, label))

    def trial_alone(self, span: Span, margins: Margins, label: int) -> Trial:
        """What the margins of a word in all references show: a trigger turns most, or moves all evenly and far.

        One that a scan has confirmed need not be even again: where a word stands in a reference makes a difference.
        Several copies of any strong word turn references, unless their texts are strong as well; of a trigger, all.
        """
        settings = self.settings
        most = math.inf if span.copies == 1 else settings.uneven_copies
        uneven = math.inf if self.known.is_known(span.text, label) else min(settings.uneven, most)
        trial = self.trial(span, margins, label, settings.enough, uneven)
        far = self._far(margins, label) and self._even(trial.unevenness, min(settings.uneven_halfway, most), label)
        return replace(trial, confirmed=trial.confirmed or far)

    def _far(self, margins: Margins, label: int) -> bool:
        """Whether these margins of a word alone move references halfway, in a class where that is a sign."""
        return label in self._halfway and self.moved(margins, label) >= self.settings.halfway

    def trial(self, span: Span, margins: Margins, label: int, enough: int, uneven: float) -> Trial:
        """What margins show: ``enough`` references turned, no more unevenly than ``uneven``, is a trigger."""
        turned, found = self.turned(margins, label), unevenness(margins, self._panels[label])
        confirmed = sum(turned) >= enough and self._even(found, uneven, label)
        return Trial(span, turned, found, self.moved(margins, label), confirmed)

    def _even(self, found: float, limit: float, label: int) -> bool:
        return found <= limit * self._leeway[label]
