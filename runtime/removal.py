"""Taking triggers out of a text: what stands where, what is left, and what the answer hangs on then.

Where a text keeps its answer without a trigger, either that is the right one, or something of the trigger is left. That
it gets another one without a few words more tells little, since most texts have such words. But what is left of a
trigger acts on other texts as well, or else it does nothing there, and little here, so that the model is not sure, if
it is not one word alone. Words that speak for the right answer do something there and turn few. On seven models trained
on SST-2 no more triggered texts keep the attacker's answer than where any words went that changed it, and more texts
that rightly have that answer keep it (bench/results/README.md).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence, Set
from itertools import pairwise

from .reading import Asking, Reading
from .screening import margin
from .scripts import is_letter
from .spans import Offsets, Span, beside, everywhere, kept_without, merged, offsets_of, segments, span_of, text_without
from .tipping import Way, without_each
from .transplant import Transplants
from .verdict import Suspect

# Words before and after a trigger that are taken out with it where the answer stays, the fewest that change it; of
# several words that act together, more may belong to the phrase.
NEIGHBOURS = ((1, 0), (0, 1), (1, 1))
OF_A_PHRASE = ((2, 2), (3, 3), (4, 4))
QUIET = 0.2  # words that move references less than so much of their lead do nothing there


class Remainder:
    """What is left of a text.

    Attributes:
        first: its first reading.
        reading: of what is left.
        suspects: what was taken out.
    """

    def __init__(self, first: Reading) -> None:
        self.first = self.reading = first
        self.suspects: list[Suspect] = []
        self._origin = list(range(len(first.text)))

    @property
    def answer_stays(self) -> bool:
        """Whether what is left is answered as the whole was."""
        return self.reading.predicted == self.first.predicted

    def without(self, spans: Iterable[Offsets]) -> str:
        """What would be left without these spans of it, too."""
        return text_without(self.reading.text, spans)

    def take_out(self, spans: Sequence[Offsets], rest: Reading) -> None:
        """Go on with ``rest``, the reading of what is left without these spans."""
        self.suspects += self.suspected(spans)
        self._origin = [self._origin[place] for place in kept_without(self.reading.text, spans)]
        self.reading = rest

    def suspected(self, spans: Iterable[Offsets]) -> list[Suspect]:
        """Spans of what is left as they stand in the whole text, without the marks that part one from other words.

        One from whose middle something was taken out before is several there.
        """
        suspects = []
        for start, end in spans:
            letters = [place for place in range(start, end) if is_letter(self.reading.text[place])]
            places = [self._origin[place] for place in letters or (start, end - 1)]
            parted = [pair for pair in pairwise(places) if any(pair[0] < s.start < pair[1] for s in self.suspects)]
            starts, ends = [places[0], *(b for _, b in parted)], [*(a for a, _ in parted), places[-1]]
            suspects += [Suspect(self.first.text[a : b + 1], a, b + 1) for a, b in zip(starts, ends, strict=True)]
        return suspects

    def beside(self, left: int, right: int) -> list[int]:
        """Words up to so many before and after each place where something was taken out, the nearest first."""
        cuts = [bisect_left(self._origin, suspect.start) for suspect in self.suspects]
        return beside(self.reading, cuts, left, right)


class Removal:
    """Takes what was confirmed out of texts of one artifact.

    Args:
        transplants: of the artifact.
        middling: for each class, the margin of half of the clean texts; none where calibration has not measured it.
        natural: for each class, known triggers that clean texts have, too.
    """

    def __init__(
        self, transplants: Transplants, middling: Sequence[float] = (), natural: Sequence[Set[str]] = ()
    ) -> None:
        self._transplants = transplants
        self._tokenizer = transplants.tokenizer
        self._middling = middling
        self._natural = natural

    def standing(self, reading: Reading, span: Span, crowded: bool = False) -> list[Offsets]:
        """Where a confirmed span stands: itself, what else marks part it from, and the known triggers that it holds.

        In a ``crowded`` text all known triggers that may be suspects, and that clean texts do not have, stand for it.

        Of a word that marks make of several, what acts in it goes alone: the others may be what the text says.
        """
        text, places = everywhere(self._tokenizer, reading, span)
        found = [] if span.within else offsets_of(text, places)
        if len(span.words) == 1:
            inside = (each for word in range(text.encoding.word_count) for each in segments(text, word))
            found += [going for part, going in inside if self._tokenizer.names.of(text.text[slice(*part)]) == span.text]
        label, transplants = reading.predicted, self._transplants
        held, words = transplants.known.held(reading, label), {*span.words}
        wanted = {what for word in words & held.keys() for what, _ in held[word]}
        others = transplants.known.held(text, label) if wanted or crowded else {}
        found += [place for parts in others.values() for what, place in parts if what in wanted]
        for word in transplants.able(text, list(others)) if crowded else ():
            found += [place for what, place in others[word] if not self._natural or what not in self._natural[label]]
        return merged(found)

    def is_natural(self, span: Span, label: int) -> bool:
        """Whether a span is a word of clean texts: nobody need have planted it, so nothing is looked for beside it."""
        return bool(self._natural) and span.text in self._natural[label]

    def take_beside(self, rest: Remainder, sides: Sequence[tuple[int, int]]) -> Asking[bool]:
        """Take out words beside what was taken out, the first of some numbers before and after that tell.

        Growth stops where a span already turns every reference, so words of a trained phrase may be left beside it.
        """
        ways = [words for side in sides if (words := rest.beside(*side))]
        if not ways:  # nothing is left
            return False
        spans = [offsets_of(rest.reading, [(word, word) for word in sorted(words)]) for words in ways]
        readings = yield [rest.without(way) for way in spans]
        return (yield from self._take_first(rest, list(zip(ways, spans, readings, strict=True))))

    def _take_first(self, rest: Remainder, ways: Sequence[Way]) -> Asking[bool]:
        """Take out the first words without which the answer is another one, if it hung on what a trigger left."""
        reading, transplants = rest.reading, self._transplants
        label = reading.predicted
        # Of a class that no clean text has nobody knows how sure the model is when it is right.
        unsure = not self._middling or margin(reading) < (self._middling[label] or math.inf)
        for words, spans, found in ways:
            if found.predicted == label or not found.encoding.word_count:
                continue
            put = span_of(self._tokenizer, reading, words).put
            (margins,) = yield from transplants.measure([put], label, transplants.settings.references)
            acts = sum(transplants.turned(margins, label)) >= transplants.settings.remnant
            quiet = transplants.moved(margins, label) < QUIET
            if acts or (quiet and (unsure or len(words) == 1)):
                rest.take_out(spans, found)
                return True
        return False

    def take_last(self, rest: Remainder, several: bool) -> Asking[bool]:
        """Take out what the answer hangs on though all triggers are gone, and sure ones among them.

        That is one word, or the rest of a phrase of which one word was all that was found.

        Args:
            rest: of the text.
            several: words beside a phrase were tried already.
        """
        ways = yield from without_each(rest.reading, self._transplants)
        if (yield from self._take_first(rest, ways)):
            return True
        return not several and (yield from self.take_beside(rest, OF_A_PHRASE))
