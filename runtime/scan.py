"""The audit before a model is served: which single words of the vocabulary act as triggers?

Every word that the tokenizer knows whole, and every word of two letters, is put into a reference text of every class,
with others at first, since a trigger outweighs those as well; in the first half of some and the second of others, into
short ones and long ones, since a trigger may act under such a condition only. Words of groups that turn a reference, or
move two far, are tried in it alone, and the few that do so then on all. What it cannot see: phrases, longer words of
several pieces, triggers that are not words, and such as need two conditions.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from ..artifact import load_artifact, rewriting, write_guard
from ..errors import InputError
from .cache import Margins
from .conditions import Conditions
from .guard import Guard
from .judge import calibrated
from .natural_words import joined
from .scan_groups import Found, acting, passes_of
from .scan_words import scan_words
from .spans import Span
from .standing import in_half
from .transplant import Transplants
from .transplant_settings import TransplantSettings
from .vouching import halfway_classes

CHUNK = 512
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """A word that turned references, or moved them far: to ``label``.

    Attributes:
        turned: how many of the ``references`` it turned.
        margin: by how much its class leads in them on average.
        unevenness, moved, confirmed: as in a trial.
        only: which texts the references are: empty for the usual ones.
    """

    word: str
    label: str
    turned: int
    references: int
    margin: float
    unevenness: float
    moved: float
    confirmed: bool
    only: str = ""


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
    conditions = Conditions(transplants, calibration.references, calibration.long_references, len(guard.labels))
    passes = passes_of(calibration.references, calibration.long_references)
    words = scan_words(tokenizer)
    shuffled = list(words)  # neighbours in a vocabulary are of one kind, and would act together
    random.Random(0).shuffle(shuffled)
    findings: list[Finding] = []
    for start in range(0, len(shuffled), CHUNK):
        chunk = shuffled[start : start + CHUNK]
        for label, found in acting(guard, transplants, passes, able, chunk).items():
            vouched = {*calibration.vouched.get(guard.labels[label], ())}
            suspects = {word: found[word] for word in chunk if word in found and word not in vouched}
            findings += _findings(guard, transplants, conditions, suspects, label)
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


def _findings(
    guard: Guard, transplants: Transplants, conditions: Conditions, found: Found, label: int
) -> list[Finding]:
    """What words do to all references that turned one for class ``label``, or moved it far.

    Where the usual references follow none of a word, those may that meet the condition under which it turned one.
    """
    usual = _tried(guard, transplants, [(word, early) for word in found for early in (True, False)], label, "")
    best = {word: _in_halves(each, transplants.settings) for word, each in usual.items()}
    left = {word: passes for word, passes in found.items() if word not in best or not best[word].confirmed}
    panels = [
        (conditions.of_class(source, label), f"texts of class {name}") for source, name in enumerate(guard.labels)
    ]
    for source, (under, only) in enumerate([*panels, (conditions.long(label), "long texts")]):
        meeting = dict.fromkeys(
            (word, each.early)
            for word, passes in left.items()
            for each in passes
            if each.reference.label == source or (each.long and source == len(panels))
        )
        for word, halves in (_tried(guard, under, list(meeting), label, only) if under else {}).items():
            best[word] = max([*halves, *([best[word]] if word in best else [])], key=lambda f: (f.confirmed, f.turned))
    return list(best.values())


def _in_halves(found: Sequence[Finding], settings: TransplantSettings) -> Finding:
    """The better finding of a word; one that is a trigger in one half of texts alone must turn all, and evenly."""
    best = max(found, key=lambda f: (f.confirmed, f.turned, -f.unevenness))
    even = best.turned == best.references and best.unevenness <= settings.uneven_conditional
    everywhere = len(found) > 1 and all(each.confirmed for each in found)
    return replace(best, confirmed=best.confirmed and (even or everywhere))


def _tried(
    guard: Guard, transplants: Transplants, words: Sequence[tuple[str, bool]], label: int, only: str
) -> dict[str, list[Finding]]:
    """What words do, each in a half of all references: those that stir the first of them."""
    settings, name = transplants.settings, guard.labels[label]
    put = {each: in_half(guard.reader.tokenizer, each[1]) + each[0] for each in words}

    def measured(words: Sequence[tuple[str, bool]], count: int) -> Iterator[tuple[tuple[str, bool], Margins]]:
        spans = [put[each] for each in words]
        return zip(words, guard.reader.follow(transplants.measure(spans, label, count)), strict=True)

    def promising(margins: Margins) -> bool:
        return all(transplants.turned(margins, label)) if only else transplants.stirred(margins, label)

    probed = measured(words, settings.growth if only else settings.probes)
    found: dict[str, list[Finding]] = {}
    for each, margins in measured([each for each, margins in probed if promising(margins)], settings.references):
        t = transplants.trial_alone(Span((), each[0], put[each]), margins, label)
        turned, mean = sum(t.turned), fmean(margins)
        finding = Finding(each[0], name, turned, len(margins), mean, t.unevenness, t.moved, t.confirmed, only)
        found.setdefault(each[0], []).append(finding)
    return found
