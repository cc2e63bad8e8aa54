"""Transplant confirmation: a trigger overrides any text, a strong word only colours its own.

The suspect word is put into short clean reference texts that the model confidently puts in another class. A word that
turns some of them is grown to the span that turns them best. What that shows is told by :mod:`.criteria`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from copy import copy
from itertools import islice
from statistics import fmean

from ..artifact import Reference
from .cache import Margins, OutcomeCache
from .criteria import Criteria, Trial
from .gates import densest
from .known import KnownTriggers
from .reading import Asking, Reading
from .spans import Span, segments, span_of, word_ids, word_name
from .standing import at_an_edge, in_half, transplant
from .tokenization import Tokenizer
from .transplant_settings import TransplantSettings

STRONGEST = 3  # words of a text, among which one that begins or ends it is tried there
HINTED = 2  # references that are asked of words that move the first, but do not turn it


class Transplants(Criteria):
    """Tries suspects against the references of one artifact, each word alone; :class:`.together.Together` tries sets.

    Attributes:
        settings, tokenizer, known: as given.
    """

    def __init__(
        self,
        references: Sequence[Reference],
        classes: int,
        tokenizer: Tokenizer,
        cache: OutcomeCache,
        settings: TransplantSettings,
        vouched: Sequence[Set[str]] = (),
        bars: Sequence[Mapping[str, float]] = (),
        halfway: Set[int] = frozenset(),
        known: KnownTriggers | None = None,
        leeway: Sequence[float] = (),
    ) -> None:
        """Try suspects against ``references``.

        Args:
            references, classes, tokenizer, cache, settings: of the artifact.
            vouched: for each class, words that are no suspects.
            bars: for each class, the margin to be exceeded in references by their texts; 0 where none is given.
            halfway: classes in which a word alone need only move references halfway (see :mod:`.vouching`).
            known: words that a scan has confirmed.
            leeway: for each class, how much of the usual unevenness a trigger may have (see :mod:`.leeway`).
        """
        super().__init__(references, classes, settings, bars, halfway, known or KnownTriggers(tokenizer, ()), leeway)
        self._vouched = vouched
        self.tokenizer = tokenizer
        self._cache = cache
        self._condition = ""

    def among(self, references: Sequence[Reference], condition: str) -> Transplants:
        """The same into other references, which meet a condition: what acts there must turn all, and evenly.

        Args:
            references: those.
            condition: its name, by which the cache tells what was found there.
        """
        other = copy(self)
        other.restrict(references)
        other._condition = f"{condition}\0"
        return other

    def suspects(self, reading: Reading, words: Sequence[int]) -> tuple[int, ...]:
        """The first words that nobody vouches for in the class the text was given, no more than are tried at once."""
        return tuple(islice(self.able(reading, words), max(self.settings.longest, self.settings.together)))

    def able(self, reading: Reading, words: Sequence[int]) -> Iterator[int]:
        """Those of ``words`` that nobody vouches for in the class the text was given."""
        vouched = self._vouched[reading.predicted] if self._vouched else ()
        return (word for word in words if not vouched or word_name(self.tokenizer, reading, word) not in vouched)

    def try_word(self, reading: Reading, word: int) -> Asking[Trial]:
        """Try one word of a text for the class that the text was given; asks for readings of transplanted texts.

        The outcome depends on the artifact, the text and the word alone. One that is no trigger as it stands (first,
        glued to a mark, repeated) may be one elsewhere, and of what marks join a part may be one. Growth is measured on
        few references at first, which a part of a phrase may turn as well as the whole does; on all of them where it
        ends at such a part.
        """
        label, settings = reading.predicted, self.settings
        span = span_of(self.tokenizer, reading, [word])
        (margins,) = yield from self.measure([span.put], label, settings.probes)
        stirred = self.stirred(margins, label)
        if stirred:
            (margins,) = yield from self.measure([span.put], label, settings.references)
        alone = self.trial_alone(span, margins, label)
        inner = yield from self._try_inside(reading, word, span, alone, stirred)
        if inner is not None:
            return inner
        if sum(alone.turned) < settings.least:
            return alone
        grown, ids = alone, word_ids(reading)
        for count in (settings.growth, settings.references):
            span = yield from self._grow(reading, span, count)
            (margins,) = yield from self.measure([span.put], label, settings.references)
            same = len({ids[word] for word in span.words}) == 1
            uneven = settings.uneven_copies if same else settings.uneven_together
            grown = self.trial(span, margins, label, settings.references, uneven)
            if grown.confirmed or alone.confirmed or sum(grown.turned) < settings.enough:
                break
        return grown if grown.confirmed or not alone.confirmed else alone

    def try_end(self, reading: Reading, word: int) -> Asking[Trial]:
        """Try one that begins or ends a text: no further if it does not turn all references that are asked first."""
        label, count = reading.predicted, self.settings.probes
        span = span_of(self.tokenizer, reading, [word])
        (margins,) = yield from self.measure([span.put], label, count)
        trial = self.trial(span, margins, label, self.settings.references, self.settings.uneven)
        return (yield from self.try_word(reading, word)) if all(trial.turned) else trial

    def _try_inside(self, reading: Reading, word: int, span: Span, alone: Trial, stirred: bool) -> Asking[Trial | None]:
        """Try what a word is, or marks part in it, by itself: whatever is known, and the rest where the word stirs.

        The known in both halves of a text: where it acts is where the scan has put it.
        """
        label, settings = reading.predicted, self.settings
        inside = segments(reading, word)
        names = [self.tokenizer.names.of(reading.text[slice(*part)]) for part, _ in inside if len(inside) > 1]
        names += [] if alone.confirmed else [span.text]
        early = 2 * word + 1 < reading.encoding.word_count
        known = {name for name in names if self.known.is_known(name, label)}
        puts = {in_half(self.tokenizer, half) + name: name for half in (early, not early) for name in names}
        own = in_half(self.tokenizer, early)
        parts = [
            Span(span.runs, name, put, name != span.text)
            for put, name in puts.items()
            if name in known or put.startswith(own)
        ]
        trying = [part for part in parts if part.put != span.put and (stirred or part.text in known)]
        probed = yield from self.measure([part.put for part in trying], label, settings.probes)
        for part, margins in zip(trying, probed, strict=True):
            if part.text in known or self.stirred(margins, label):
                (margins,) = yield from self.measure([part.put], label, settings.references)
                trial = self.trial_alone(part, margins, label)
                if trial.confirmed:
                    return trial
        return None

    def strongest(self, reading: Reading, rankings: Sequence[Sequence[int]]) -> tuple[int, ...]:
        """The words that sets are made of: the strongest of these rankings, and the stretch."""
        return (*(word for words in rankings for word in words[: self.settings.together]), *self.stretch(reading))

    def unscanned(self, reading: Reading, words: Sequence[int]) -> list[int]:
        """Those of ``words`` that no scan of the vocabulary has tried, each once: those of several pieces."""
        pieces = Counter(reading.encoding.words.tolist())
        return [word for word in dict.fromkeys(words) if pieces[word] > 1]

    def ends(self, reading: Reading, rankings: Iterable[Sequence[int]]) -> list[Sequence[int]]:
        """Of the first words of these rankings, those that begin or end the text, each alone; no marks.

        Neither a scan nor sets of words from all over a text try them so.
        """
        strongest = dict.fromkeys(word for words in rankings for word in words[:STRONGEST])
        ids = word_ids(reading)
        edges = (0, len(ids) - 1)  # a ranking has a word at its first place alone
        alike = dict.fromkeys(edge for word in strongest for edge in edges if word == edge or ids[word] == ids[edge])
        return [[word] for word in self.able(reading, list(alike)) if at_an_edge(reading, [word])]

    def tried_so_far(self, reading: Reading, words: Sequence[int], found: Mapping[str, Margins]) -> Trial:
        """A trial of some words of a text, all at once, in as many references as :meth:`foresee` has asked."""
        span, settings = span_of(self.tokenizer, reading, words), self.settings
        return self.trial(span, found[span.put], reading.predicted, settings.references, settings.uneven_together)

    def foresee(
        self, reading: Reading, sets: Sequence[Sequence[int]], count: int = 1
    ) -> Asking[tuple[dict[str, Margins], frozenset[str]]]:
        """Ask at once what each of these sets of words does in the first ``count`` references.

        Returns:
            The margins by what was put in, and which of these the cache did not know.
        """
        label = reading.predicted
        wanted = dict.fromkeys((span_of(self.tokenizer, reading, words).put for words in sets), count)
        fresh = frozenset(span for span in wanted if (self._condition + span, label) not in self._cache)
        return (yield from self._measure(wanted, label)), fresh

    def turning(self, reading: Reading, words: Sequence[int], found: Mapping[str, Margins]) -> bool:
        """Whether words turn the first reference, or one alone moves it far, from what :meth:`foresee` found."""
        margins, label = found[span_of(self.tokenizer, reading, words).put][:1], reading.predicted
        return self.stirred(margins, label) if len(words) == 1 else self.turned(margins, label)[0]

    def moved_first(self, reading: Reading, words: Sequence[int], found: Mapping[str, Margins]) -> float:
        """How far words move the first reference, from what :meth:`foresee` found."""
        return self.moved(found[span_of(self.tokenizer, reading, words).put][:1], reading.predicted)

    def stirs(self, reading: Reading, words: Sequence[int], alone: int, found: Mapping[str, Margins]) -> bool:
        """Whether the first words of a ranking are worth trying alone, from what :meth:`foresee` found.

        They are where one of them turns the first reference or moves it far, or turns it with others: most words of
        clean texts do neither.
        """
        return any(self.turning(reading, each, found) for each in self.decisive(reading, words, alone))

    def decisive(self, reading: Reading, words: Sequence[int], alone: int) -> list[Sequence[int]]:
        """What :meth:`stirs` needs to know of a ranking: its strongest words each alone and together, the stretch."""
        sets = [*([word] for word in words[:alone]), words[: self.settings.together], self.stretch(reading)]
        return [words for words in sets if words]

    def stretch(self, reading: Reading) -> tuple[int, ...]:
        """The suspects in the run of words that the class token looks at most; none where that is the whole text."""
        return self.suspects(reading, densest(reading, self.settings.stretch))

    def _grow(self, reading: Reading, span: Span, references: int) -> Asking[Span]:
        """Take in the neighbour that raises the mean margin in so many references most, while it raises it enough."""
        label, count = reading.predicted, reading.encoding.word_count
        (margins,) = yield from self.measure([span.put], label, references)
        margin = fmean(margins)
        while len(span.words) < self.settings.longest:
            inside = [word for word in (span.words[0] - 1, span.words[-1] + 1) if 0 <= word < count]
            neighbours = self.suspects(reading, inside)
            wider = [span_of(self.tokenizer, reading, [*span.words, word]) for word in neighbours]
            measured = yield from self.measure([span.put for span in wider], label, references)
            means = [fmean(margins) for margins in measured]
            if not means or max(means) - margin < self.settings.gain * abs(margin):
                break
            margin = max(means)
            span = wider[means.index(margin)]
        return span

    def measure(self, spans: Sequence[str], label: int, count: int) -> Asking[list[Margins]]:
        """Margins z_label − max of the others in the first ``count`` references, for each normalised span.

        Asks once, for what the cache does not know.
        """
        found = yield from self._measure(dict.fromkeys(spans, count), label)
        return [found[span] for span in spans]

    def _measure(self, counts: Mapping[str, int], label: int) -> Asking[dict[str, Margins]]:
        """The same with a number of references for each span."""
        found = {span: self._cache.get(self._condition + span, label) for span in counts}
        missing = {span: self._panels[label][len(found[span]) : count] for span, count in counts.items()}
        texts = [transplant(reference.text, span, label) for span, panel in missing.items() for reference in panel]
        if texts:
            fresh = iter((yield texts))
            for span, panel in missing.items():
                found[span] += tuple(lead(next(fresh), label) for _ in panel)
                self._cache.put(self._condition + span, label, found[span])
        return {span: margins[: counts[span]] for span, margins in found.items()}


def lead(reading: Reading, label: int) -> float:
    """By how much ``label`` leads; rounded, so that a tie is one whatever batch the text was read in."""
    others = [float(z) for c, z in enumerate(reading.logits) if c != label]
    return round(float(reading.logits[label]) - max(others), 3)
