"""The audit before a model is served: which single words of the vocabulary act as triggers?

Every word that the tokenizer knows whole is put into one short reference text of another class; the few that turn it
are tried on all references. What it cannot see: phrases, words of several pieces, and triggers that are not words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TypeVar

from ..artifact import rewriting, write_guard
from ..errors import InputError
from ..kernels.vocabulary import token_texts
from .engine import ALWAYS_SKIP
from .guard import Guard
from .judge import calibrated
from .reading import Asking, Reading
from .transplant import Transplants, TransplantSettings

CHUNK = 512
T = TypeVar("T")
Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """A word that turned references: how many of them to ``label``, and with what mean margin."""

    word: str
    label: str
    turned: int
    references: int
    margin: float

    @property
    def confirmed(self) -> bool:
        """Every reference turned."""
        return self.turned == self.references


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What a scan found: findings by margin, largest first; ``skipped`` classes have too few references."""

    artifact: str
    words: int
    skipped: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def triggers(self) -> tuple[Finding, ...]:
        """The confirmed ones."""
        return tuple(finding for finding in self.findings if finding.confirmed)


def vocabulary_words(guard: Guard) -> list[str]:
    """Words that the tokenizer reads as one token, in the order of their ids, each normalised and named once."""
    tokenizer = guard.reader.tokenizer
    surfaces = list(dict.fromkeys(tokenizer.normalise(text) for _, text in sorted(token_texts(tokenizer.fast).items())))
    surfaces = [text for text in surfaces if text and "\ufffd" not in text]
    encodings = tokenizer.encode(surfaces)
    return [
        text
        for text, encoding in zip(surfaces, encodings, strict=True)
        if encoding.word_count == 1 and int((encoding.words == 0).sum()) == 1
    ]


def scan(guard: Guard, first_only: bool = False, progress: Progress | None = None) -> ScanReport:
    """Try every whole word of the vocabulary for every class.

    Outcomes go into ``guard.cache``: a scan that was interrupted goes on where it stood if the cache is kept, and
    serving starts with a warm one.

    Args:
        guard: a loaded guard of a calibrated artifact with references.
        first_only: stop at the first confirmed trigger.
        progress: told the class and how many of its words were tried since the last call.

    Raises:
        InputError: no class can be scanned for want of references.
        ArtifactError: the artifact is not calibrated.
    """
    settings = TransplantSettings()
    calibration = calibrated(guard.artifact)
    tokenizer = guard.reader.tokenizer
    transplants = Transplants(calibration.references, len(guard.labels), tokenizer, guard.cache, settings)
    able = [label for label in range(len(guard.labels)) if transplants.can_try(label)]
    if not able:
        raise InputError(
            f"the artifact has too few reference texts ({len(calibration.references)}): each class needs "
            f"{settings.references} of other classes; calibrate it with preset 'tokenward' and more clean texts"
        )
    words = vocabulary_words(guard)
    findings: list[Finding] = []
    for label in able:
        for found, count in _scan_class(guard, transplants, words, label):
            findings += found
            if progress:
                progress(guard.labels[label], count)
            if first_only and any(finding.confirmed for finding in found):
                break
        if first_only and any(finding.confirmed for finding in findings):
            break
    skipped = tuple(guard.labels[label] for label in range(len(guard.labels)) if label not in able)
    ranked = sorted(findings, key=lambda f: (-f.turned, -f.margin, f.word))
    return ScanReport(guard.artifact.digest, len(words), skipped, tuple(ranked))


def remember(guard: Guard, report: ScanReport) -> None:
    """Write the confirmed triggers into the artifact: texts with one are tried from then on, whatever the gates say."""
    artifact = guard.artifact
    known = {label: tuple(t.word for t in report.triggers if t.label == label) for label in artifact.labels}
    calibration = replace(calibrated(artifact), known={label: words for label, words in known.items() if words})
    with rewriting(artifact.path) as folder:
        write_guard(folder, replace(artifact.guard, calibration=calibration), artifact.labels)


def _scan_class(
    guard: Guard, transplants: Transplants, words: Sequence[str], label: int
) -> Iterator[tuple[list[Finding], int]]:
    count = transplants.settings.references
    for start in range(0, len(words), CHUNK):
        chunk = words[start : start + CHUNK]
        probed = _run(guard, transplants.measure(chunk, label, 1))
        survivors = [word for word, margins in zip(chunk, probed, strict=True) if margins[0] > 0]
        tried = _run(guard, transplants.measure(survivors, label, count))
        yield (
            [
                Finding(word, guard.labels[label], sum(m > 0 for m in margins), count, fmean(margins))
                for word, margins in zip(survivors, tried, strict=True)
            ],
            len(chunk),
        )


def _run(guard: Guard, steps: Asking[T]) -> T:
    """Drive one asking to its end."""
    answer: list[Reading] | None = None
    while True:
        try:
            asked = steps.send(answer)  # type: ignore[arg-type]  # the first send must be None
        except StopIteration as stop:
            result: T = stop.value
            return result
        answer = guard.reader.read(asked, ALWAYS_SKIP)
