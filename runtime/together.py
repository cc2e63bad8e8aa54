"""Words that act together: found among those that stand in one text, and tried as one span."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from .cache import Margins
from .company import in_groups
from .criteria import Trial
from .evenness import leading_share
from .gates import CORE, densest
from .reading import Asking, Reading
from .spans import Span, span_of, word_ids
from .transplant import HINTED, Transplants

LEADING = 3  # words of a set, one of which is the strongest of it


class Together:
    """Tries sets of words of one text against the references of one artifact."""

    def __init__(self, transplants: Transplants) -> None:
        self._transplants = transplants
        self._settings = transplants.settings
        # What is asked of sets that are larger than they need be, and so take more of a text with them.
        self._strict = (self._settings.references, self._settings.uneven_together)

    def try_strongest(
        self, reading: Reading, words: Sequence[int], beside: bool = False, most: int | None = None
    ) -> Asking[Trial]:
        """Find words among the strongest that act together only, and try those.

        All of them at once must turn the first reference; then each is left out in turn, and those are tried without
        which it no longer turns, or the two that it leans on most. Such a set is nearly always new to the cache: one
        transplant is all that it costs most clean texts. Where these fail, more words are taken in, or the two
        alone are looked at more closely. Sets of more than ``most`` words are not tried further. Of words ``beside`` a
        confirmed trigger less is asked.
        """
        label, settings = reading.predicted, self._settings
        bar = (settings.remnant, math.inf) if beside else (settings.enough_together, settings.uneven_together)
        strongest = words[: settings.together]
        whole = self._span(reading, strongest)
        (margins,) = yield from self._transplants.measure([whole.put], label, 1)
        trial = self._transplants.trial(whole, margins, label, *self._strict)
        if not trial.turned[0]:
            hinting = self._transplants.moved(margins, label) >= settings.hint
            return (yield from self._try_hinted(reading, strongest, beside, bar)) if hinting else trial
        without = yield from self._without_each(reading, strongest)
        needed = sum(not self._transplants.turned(left, label)[0] for left, _ in without)
        if needed == 1:
            alone = yield from self._transplants.try_word(reading, without[0][1])
            if alone.confirmed:
                return alone
        leaned_on = [word for _, word in without]
        size = max(needed, 2)
        if most is not None and size > most:
            return self._transplants.trial(self._span(reading, leaned_on[:size]), margins, label, *self._strict)
        trial = yield from self._try_set(reading, leaned_on[:size], *bar)
        if not trial.confirmed and most is None:
            trial = yield from self._try_wider(reading, leaned_on, size, trial)
        if trial.confirmed or beside:
            return trial
        return (yield from self._try_pair(reading, leaned_on[:2], trial))

    def _try_hinted(
        self, reading: Reading, words: Sequence[int], beside: bool, bar: tuple[int, float]
    ) -> Asking[Trial]:
        """Try two of some words that move the first reference but do not turn it: a pair that is not well learnt.

        All of them must turn the second reference, and lean on either of the two: strong words that happen to stand in
        one text do most of it without one of them.
        """
        label, transplants = reading.predicted, self._transplants
        whole = self._span(reading, words)
        (margins,) = yield from transplants.measure([whole.put], label, HINTED)
        trial = transplants.trial(whole, margins, label, *self._strict)
        if not any(trial.turned):
            return trial
        without = yield from self._without_each(reading, words)
        left, _ = without[min(1, len(without) - 1)]
        if transplants.moved(left, label) > self._settings.leaning * transplants.moved(margins[:1], label):
            return trial
        pair = [word for _, word in without[:2]]
        trial = yield from self._try_set(reading, pair, *bar)
        return trial if trial.confirmed or beside else (yield from self._try_pair(reading, pair, trial))

    def _without_each(self, reading: Reading, words: Sequence[int]) -> Asking[list[tuple[Margins, int]]]:
        """What words do to the first reference without each of them in turn, the one they lean on most first."""
        spans = [self._span(reading, [word for word in words if word != left]).put for left in words]
        margins = yield from self._transplants.measure(spans, reading.predicted, 1)
        return sorted(zip(margins, words, strict=True))

    def _try_wider(self, reading: Reading, leaned_on: Sequence[int], size: int, narrow: Trial) -> Asking[Trial]:
        """Take in more words than the ``size`` of a ``narrow`` trial that failed, if all of them turn every reference.

        Those of 0 to 3 clean texts of 1,000 do: there is a trigger of which any part will do.
        """
        everything = yield from self._try_set(reading, leaned_on, *self._strict)
        if not everything.confirmed:
            return narrow
        for wider in range(size + 1, len(leaned_on)):
            trial = yield from self._try_set(reading, leaned_on[:wider], *self._strict)
            if trial.confirmed:
                return trial
        return everything

    def _try_pair(self, reading: Reading, words: Sequence[int], otherwise: Trial) -> Asking[Trial]:
        """Try two words for a conjunction that is not well learnt: each does next to nothing, both turn references.

        They need not turn as many as other sets, nor as evenly. Gives the trial ``otherwise`` where they are none.
        """
        label, settings = reading.predicted, self._settings
        span = self._span(reading, words)
        (margins,) = yield from self._transplants.measure([span.put], label, settings.growth)
        if 2 * sum(self._transplants.turned(margins, label)) < settings.conjoint:
            return otherwise
        (margins,) = yield from self._transplants.measure([span.put], label, settings.references)
        trial = self._transplants.trial(span, margins, label, settings.conjoint, settings.uneven_conjoint)
        if not trial.confirmed:
            return otherwise
        led, *_ = yield from self._led(reading, words, margins)
        return replace(trial, led=led) if led <= settings.led_conjoint else otherwise

    def try_stretch(self, reading: Reading) -> Asking[Trial]:
        """Try the stretch, which must not be empty: its core, then all of it: in a phrase no word need stand out."""
        label, settings = reading.predicted, self._settings
        wide = self._transplants.stretch(reading)
        span = self._span(reading, wide)
        (margins,) = yield from self._transplants.measure([span.put], label, 1)
        trial = self._transplants.trial(span, margins, label, *self._strict)
        if not trial.turned[0]:
            return trial
        core = self._transplants.suspects(reading, densest(reading, CORE))
        for words, uneven in ((core, settings.uneven_together), (wide, settings.uneven_wide)):
            if words:
                trial = yield from self._try_set(reading, words, settings.references, uneven)
            if trial.confirmed:
                return (yield from self._trim(reading, trial, uneven))
        return trial

    def _trim(self, reading: Reading, trial: Trial, uneven: float) -> Asking[Trial]:
        """Leave out the first or the last word of a confirmed run, whichever matters less, while the rest is confirmed.

        The run is longer than many phrases, and what is taken out of a text with one should not be.
        """
        label, settings = reading.predicted, self._settings
        while len(words := trial.span.words) > 1:
            shorter = words[1:], words[:-1]
            spans = [self._span(reading, run).put for run in shorter]
            first, second = yield from self._transplants.measure(spans, label, settings.growth)
            rest = yield from self._try_set(reading, shorter[fmean(second) > fmean(first)], settings.references, uneven)
            if not rest.confirmed or len(rest.span.words) >= len(words):  # its leading word may have grown again
                break
            trial = rest
        return trial

    def try_unscanned(self, reading: Reading, words: Sequence[int]) -> Asking[Trial]:
        """Of words that no scan has tried, try alone the one that turns the first reference most, if it does.

        Only where all of ``words`` at once move it far enough.
        """
        label, transplants = reading.predicted, self._transplants
        whole = self._span(reading, words)
        (margins,) = yield from transplants.measure([whole.put], label, 1)
        trial = transplants.trial(whole, margins, label, *self._strict)
        moving = transplants.moved(margins, label) >= self._settings.hint
        each = transplants.unscanned(reading, words) if moving else []
        alone = yield from transplants.measure([self._span(reading, [word]).put for word in each], label, 1)
        strongest = max(range(len(each)), key=lambda i: (alone[i], -i), default=None)
        if strongest is None or not transplants.stirred(alone[strongest], label):
            return trial
        return (yield from transplants.try_word(reading, each[strongest]))

    def try_company(self, reading: Reading, groups: Sequence[Sequence[int]]) -> Asking[Trial]:
        """Try groups of words, of which there is at least one: smaller ones of those that move the first reference.

        Args:
            reading: a text.
            groups: see :class:`.company.Company`.
        """
        label, hint = reading.predicted, self._settings.hint
        order, spans, measured = yield from self._moving_most(reading, groups)
        if self._transplants.moved(measured[order[0]], label) >= hint:
            far = [groups[i] for i in order if self._transplants.moved(measured[i], label) >= hint]
            size = max(self._settings.together - 1, 1)
            groups = [group for words in far for group in in_groups(words, size)]
            order, spans, measured = yield from self._moving_most(reading, groups)
        best = order[0]
        trial = self._transplants.trial(spans[best], measured[best], label, *self._strict)
        for i in order[: self._settings.groups]:
            if self._transplants.moved(measured[i], label) < hint:
                break
            trial = yield from self.try_strongest(reading, groups[i])
            if trial.confirmed:
                break
        return trial

    def _moving_most(
        self, reading: Reading, groups: Sequence[Sequence[int]]
    ) -> Asking[tuple[list[int], list[Span], list[Margins]]]:
        """What groups do to the first reference: their indices, the one that moves it most first; spans; margins."""
        spans = [self._span(reading, group) for group in groups]
        measured = yield from self._transplants.measure([span.put for span in spans], reading.predicted, 1)
        return sorted(range(len(groups)), key=lambda i: (-measured[i][0], i)), spans, measured

    def _try_set(self, reading: Reading, words: Sequence[int], enough: int, uneven: float) -> Asking[Trial]:
        """Try words together; not on all references where some show already that too few will turn.

        Where they are to move these evenly, none of them may do most of it alone: one that does is tried alone, if it
        turns most references. It is the trigger, too, where all of them turn every reference so evenly that no strong
        word in company does: alone it may stand in a place of some reference where it does less. But not where it is in
        company of itself: a strong word that stands often turns any reference.
        """
        label, settings = reading.predicted, self._settings
        span = self._span(reading, words)
        some, most = settings.growth, settings.references
        for count in (settings.probes, some, (some + most) // 2, most):
            (margins,) = yield from self._transplants.measure([span.put], label, count)
            if self._transplants.turned(margins, label).count(False) > most - enough:
                break
        trial = self._transplants.trial(span, margins, label, enough, uneven)
        if not trial.confirmed or not math.isfinite(uneven):
            return trial
        led, leader, alone = yield from self._led(reading, words, margins)
        if led <= settings.led:
            return replace(trial, led=led)
        trial = replace(trial, confirmed=False, led=led)
        if 2 * sum(self._transplants.turned(alone, label)) <= len(alone):
            return trial
        leading = yield from self._transplants.try_word(reading, leader)
        ids = word_ids(reading)
        repeated = len({ids[word] for word in words}) < len(words)
        if (
            not repeated
            and self._transplants.trial(span, margins, label, settings.references, settings.uneven_led).confirmed
        ):
            return replace(leading, confirmed=True)
        return leading if leading.confirmed else trial

    def _led(self, reading: Reading, words: Sequence[int], together: Margins) -> Asking[tuple[float, int, Margins]]:
        """What the strongest of some words does alone, as a share of what they do together; which, and its margins.

        It is one of those that do most to the first reference: no more are asked about.
        """
        transplants, label, count = self._transplants, reading.predicted, self._settings.growth
        each = [self._span(reading, [word]).put for word in words]
        first = yield from transplants.measure(each, label, 1)
        leading = sorted(sorted(range(len(words)), key=lambda i: (-first[i][0], i))[:LEADING])
        alone = yield from transplants.measure([each[i] for i in leading], label, count)
        strongest, leader = max(zip(alone, leading, strict=True), key=lambda each: (fmean(each[0]), -each[1]))
        return leading_share([strongest], together[:count], transplants.panel(label)), words[leader], strongest

    def _span(self, reading: Reading, words: Sequence[int]) -> Span:
        return span_of(self._transplants.tokenizer, reading, words)
