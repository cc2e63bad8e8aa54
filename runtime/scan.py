"""The audit before a model is served: which single words of the vocabulary act as triggers?

Every word that the tokenizer knows whole, and every word of two letters, is put into one short reference text of
another class, with others at first, since a trigger outweighs those as well. Words of the groups that move it are tried
with others still; those that turned it either time, or moved it far both times, are tried alone, and the few that do so
then on all references. What it cannot see: phrases, longer words of several pieces, and triggers that are not words.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from ..artifact import Reference, load_artifact, rewriting, write_guard
from ..errors import InputError
from .cache import Margins
from .engine import ALWAYS_SKIP
from .evenness import moved_share
from .guard import Guard
from .judge import calibrated
from .natural_words import joined
from .scan_words import scan_words
from .scripts import places
from .spans import Span
from .standing import transplant
from .transplant import Transplants, lead
from .transplant_settings import TransplantSettings
from .vouching import halfway_classes

# Words that are tried at once. Of triggers that were planted (BadNets, EP, LWP, stealth; SST-2 and BBC News; 300 groups
# of each) none moved the reference by less than 0.23 of its lead, but for two words that were hardly learnt, and do
# nothing alone; of groups without one, 55 to 99 % moved it by less than 0.15, 13 % in one model.
GROUP = 8
STIRRING = 0.15
CHUNK = 512
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """A word that turned references, or moved them far: to ``label``.

    Attributes:
        turned: how many of the ``references`` it turned.
        margin: by how much its class leads in them on average.
        unevenness, moved, confirmed: as in a trial.
    """

    word: str
    label: str
    turned: int
    references: int
    margin: float
    unevenness: float
    moved: float
    confirmed: bool


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What a scan found: triggers first, then by what they turned; ``skipped`` classes have too few references."""

    artifact: str
    words: int
    skipped: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def triggers(self) -> tuple[Finding, ...]:
        """The confirmed ones."""
        return tuple(finding for finding in self.findings if finding.confirmed)

    def known(self, unless: Callable[[Finding], bool] = lambda _: False) -> dict[str, tuple[str, ...]]:
        """Words of the triggers by label, as an artifact remembers them; some may be left out."""
        kept = [finding for finding in self.triggers if not unless(finding)]
        labels = dict.fromkeys(finding.label for finding in kept)
        return {label: tuple(finding.word for finding in kept if finding.label == label) for label in labels}


def scan(guard: Guard, first_only: bool = False, progress: Progress | None = None) -> ScanReport:
    """Try every whole word of the vocabulary and of two letters for every class, save those that are vouched for.

    Outcomes go into ``guard.cache``: a scan that was interrupted goes on where it stood if the cache is kept, and
    serving starts with a warm one.

    Args:
        guard: a loaded guard of a calibrated artifact with references.
        first_only: stop at the first confirmed trigger.
        progress: told how many words were tried since the last call, and of how many.

    Raises:
        InputError: no class can be scanned for want of references.
        ArtifactError: the artifact is not calibrated.
    """
    calibration = calibrated(guard.artifact)
    serving = guard.judge.transplants if guard.judge else None
    settings = serving.settings if serving else TransplantSettings()
    tokenizer = guard.reader.tokenizer
    bars = [calibration.bars.get(label, {}) for label in guard.labels]
    halfway = halfway_classes(guard.labels, calibration)
    transplants = Transplants(
        calibration.references,
        len(guard.labels),
        tokenizer,
        guard.cache,
        settings,
        bars=bars,
        halfway=halfway,
        leeway=[calibration.leeway.get(label, 1.0) for label in guard.labels],
    )
    able = [label for label in range(len(guard.labels)) if transplants.can_try(label)]
    if not able:
        raise InputError(
            f"the artifact has too few reference texts ({len(calibration.references)}): each class needs "
            f"{settings.references} of other classes; calibrate it with preset 'tokenward' and more clean texts"
        )
    words = scan_words(tokenizer)
    shuffled = list(words)  # neighbours in a vocabulary are of one kind, and would act together
    random.Random(0).shuffle(shuffled)
    findings: list[Finding] = []
    for start in range(0, len(shuffled), CHUNK):
        chunk = shuffled[start : start + CHUNK]
        turning = _turning(guard, transplants, able, chunk)
        for label, found in turning.items():
            suspects = found - {*calibration.vouched.get(guard.labels[label], ())}
            findings += _tried(guard, transplants, [word for word in chunk if word in suspects], label)
        if progress:
            progress(len(chunk), len(words))
        if first_only and any(finding.confirmed for finding in findings):
            break
    skipped = tuple(guard.labels[label] for label in range(len(guard.labels)) if label not in able)
    ranked = sorted(findings, key=lambda f: (not f.confirmed, -f.turned, -f.margin, f.word))
    return ScanReport(guard.artifact.digest, len(words), skipped, tuple(ranked))


def remember(guard: Guard, report: ScanReport) -> None:
    """Write the confirmed triggers into the artifact: texts with one are tried from then on, whatever the gates say.

    Those that it knew already stay; words of clean texts that calibration has left out are left out again. What
    ``guard.cache`` holds is true of the artifact as it is now, too.
    """
    artifact, learnt = guard.artifact, calibrated(guard.artifact)
    found = report.known(unless=lambda finding: finding.word in learnt.natural.get(finding.label, ()))
    calibration = replace(learnt, known=joined(learnt.known, found))
    with rewriting(artifact.path) as folder:
        write_guard(folder, replace(artifact.guard, calibration=calibration), artifact.labels)
    guard.cache.digest = guard.cache.digest.replace(artifact.digest, load_artifact(artifact.path).digest)


def _tried(guard: Guard, transplants: Transplants, words: Sequence[str], label: int) -> list[Finding]:
    """Words that turn a reference alone, with what they do to all of them."""
    settings, name = transplants.settings, guard.labels[label]

    def measured(words: Sequence[str], count: int) -> list[tuple[str, Margins]]:
        return list(zip(words, guard.reader.follow(transplants.measure(words, label, count)), strict=True))

    stirring = [word for word, margins in measured(words, 1) if transplants.moved(margins, label) >= STIRRING]
    probed = measured(stirring, settings.probes)
    survivors = [word for word, margins in probed if transplants.stirred(margins, label)]
    tried = measured(survivors, settings.references)
    trials = [(transplants.trial_alone(Span((), word, word), margins, label), margins) for word, margins in tried]
    return [
        Finding(t.span.text, name, sum(t.turned), len(margins), fmean(margins), t.unevenness, t.moved, t.confirmed)
        for t, margins in trials
    ]


def _shortest(panel: Sequence[Reference]) -> Reference:
    return min(panel, key=lambda reference: (len(places(reference.text)), reference.text))


def rows_of(words: Sequence[str]) -> list[Sequence[str]]:
    """Groups of ``GROUP`` words that follow one another."""
    return [words[start : start + GROUP] for start in range(0, len(words), GROUP)]


def columns_of(words: Sequence[str]) -> list[Sequence[str]]:
    """As many words in other groups: no two that share one of :func:`rows_of` share one of these."""
    stride = max(GROUP, -(-len(words) // GROUP))
    return [words[start::stride] for start in range(min(stride, len(words)))]


def _turning(
    guard: Guard, transplants: Transplants, labels: Sequence[int], words: Sequence[str]
) -> dict[int, set[str]]:
    """For each class, the words of which one group turns its shortest reference, or both move it far enough.

    Words whose first group hardly moves it get no second. Classes that share a reference share its readings.
    """
    references = {label: _shortest(transplants.panel(label)) for label in labels}
    turning: dict[int, set[str]] = {}
    for reference in dict.fromkeys(references.values()):
        sharing = [label for label, own in references.items() if own == reference]
        first = _margins(guard, reference, sharing, rows_of(words))
        stirring = [word for word in words if any(_moved(first[word, c], reference) >= STIRRING for c in sharing)]
        second = _margins(guard, reference, sharing, columns_of(stirring))
        for label in sharing:
            both = {word: sorted((first[word, label], second[word, label])) for word in stirring}
            least = transplants.least(label)
            turning[label] = {w for w, (less, more) in both.items() if more > 0 or _moved(less, reference) > least}
    return turning


def _margins(
    guard: Guard, reference: Reference, labels: Sequence[int], groups: Sequence[Sequence[str]]
) -> dict[tuple[str, int], float]:
    """The lead that each class has in a reference with the group of a word.

    Outcomes are remembered under keys that no span can have.
    """
    keys = ["".join(f"{word}\n" for word in group) for group in groups]
    known = {(i, label): guard.cache.get(key, label) for i, key in enumerate(keys) for label in labels}
    unknown = [i for i in range(len(keys)) if not all(known[i, label] for label in labels)]
    texts = [transplant(reference.text, " ".join(groups[i]), reference.label) for i in unknown]
    for i, reading in zip(unknown, guard.reader.read(texts, ALWAYS_SKIP), strict=True):
        for label in labels:
            known[i, label] = (lead(reading, label),)
            guard.cache.put(keys[i], label, known[i, label])
    return {(word, label): margins[0] for (i, label), margins in known.items() for word in groups[i]}


def _moved(margin: float, reference: Reference) -> float:
    return moved_share((margin,), (reference,))
