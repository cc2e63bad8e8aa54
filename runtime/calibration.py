"""Calibration: what clean texts teach the guard, learnt on exactly the path that serves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from statistics import fmean

from ..artifact import (
    Artifact,
    Calibration,
    GuardFile,
    Reference,
    check_replaceable,
    load_artifact,
    rewriting,
    write_guard,
)
from ..errors import InputError
from .cache import OutcomeCache
from .distinct import distinct
from .engine import ALWAYS_SKIP, NEVER_SKIP
from .engine_onnx import OnnxEngine
from .gates import fit, known_gates, require_enough
from .guard import Guard, GuardOptions, tokenizer_of
from .layers import layer_scales, scaled
from .leeway import find_leeway
from .natural_words import NaturalWords, joined
from .ordinary import turned_shares
from .reading import Reader, Reading
from .scan import Finding, ScanReport, scan
from .screening import MIDDLING, SURE, clean_margins
from .scripts import beginning
from .spans import word_names
from .standing import transplant
from .transplant import Transplants, lead
from .transplant_settings import TransplantSettings
from .vouching import bars

PERCENTILES = {"anomaly": 95.0, "class_token": 90.0}
REFERENCES_PER_CLASS = 8
REFERENCE_WORDS = (3, 10)  # the fewest and the most of a reference
LONG_REFERENCE_WORDS = (20, 25)
CHUNK = 256

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it since the last call, and of how much."""


def calibrate(
    path: str | Path,
    texts: Sequence[str],
    percentile: float | None = None,
    progress: Progress | None = None,
    scanning: bool = True,
    labels: Sequence[int] | None = None,
) -> GuardFile:
    """Calibrate an artifact in place with clean texts, atomically.

    Every gate that the graph can compute is fitted; presets that confirm by transplant also get their references, and
    the words of the vocabulary that act as triggers. Words that the labels vouch for (see :mod:`.vouching`), alone or
    together with others that the scan found, are never suspects; without labels, words that clean texts of the class
    use are at least not remembered as triggers. How even a trigger must be is learnt class by class (:mod:`.leeway`).

    Args:
        path: the artifact.
        texts: clean texts, at least 100 different ones, better 200 or more, of at least two classes; they should look
            like what will be served. Copies count once.
        percentile: so many % of clean texts are under the threshold; None takes 95 for ``anomaly`` (the published
            choice) and 90 for ``class_token``, where it is a knob of cost and not of safety.
        progress: see :data:`Progress`.
        scanning: look for trigger words, which takes the longest (see :func:`~.scan.scan`); without it those that an
            earlier scan wrote into the artifact stay there.
        labels: the right class of each text, by index; worth giving where single words rightly decide.

    Raises:
        InputError: too few texts, texts of one class only, not one label per text, or a percentile outside 1 to 100.
        ArtifactError, EngineError: as in :func:`tokenward.load`.
    """
    if percentile is not None and not 1 < percentile < 100:
        raise InputError(f"percentile {percentile:g} is not between 1 and 100: 95 puts 95 % of clean texts under it")
    if labels is not None and len(labels) != len(texts):
        raise InputError(f"{len(texts)} clean texts but {len(labels)} labels: give one label per text, or none")
    texts, labels = distinct(texts, labels)
    require_enough(len(texts))
    artifact = load_artifact(path)
    check_replaceable(path)
    engine = OnnxEngine(artifact.model_path, packed=artifact.guard.graph.packed)
    reader = Reader(tokenizer_of(artifact), engine, GuardOptions().token_budget)
    readings = []
    for start in range(0, len(texts), CHUNK):
        chunk = reader.read(texts[start : start + CHUNK], NEVER_SKIP)
        readings += chunk
        if progress:
            progress("reading clean texts", len(chunk), len(texts))
    _require_two_classes(readings, artifact.labels)
    scales = layer_scales(readings)
    readings = [scaled(reading, scales) for reading in readings]
    outputs = artifact.guard.graph.outputs
    fits = {
        name: fit(gate, readings, percentile or PERCENTILES[name])
        for name, gate in known_gates(bool(scales)).items()
        if gate.needs in outputs
    }
    by_transplant = artifact.guard.graph.preset == "tokenward"
    references = choose_references(reader, readings) if by_transplant else ()
    long_references = choose_references(reader, readings, words=LONG_REFERENCE_WORDS) if by_transplant else ()
    classes = len(artifact.labels)
    sure, middling = (clean_margins(readings, classes, of) if by_transplant else () for of in (SURE, MIDDLING))
    words = NaturalWords(
        artifact.labels,
        [set(word_names(reader.tokenizer, reading)) for reading in readings],
        [reading.predicted for reading in readings],
        labels if by_transplant else None,
    )
    vouched = words.vouched()
    before = artifact.guard.calibration
    calibration = Calibration(
        len(texts),
        sha256("\0".join(texts).encode()).hexdigest(),
        fits,
        references,
        before.known if before else {},
        vouched,
        _bars(reader, references, vouched, artifact.labels),
        sure,
        middling,
        layers=scales,
        long_references=long_references,
    )
    found = joined(before.known, before.natural) if before else {}
    if len(short_of_references(references, artifact.labels)) < classes:
        turned = turned_shares(_guard(artifact, replace(calibration, known={}), engine), readings)
        references = tuple(replace(reference, turned=turned.get(reference.text)) for reference in references)
        calibration = replace(calibration, references=references)
        report = None
        if scanning:
            trying = partial(progress, "trying words as triggers") if progress else None
            report = scan(_guard(artifact, calibration, engine), progress=trying)
            found = report.known()
        calibration = _even(artifact, engine, calibration, words, report, readings, progress)
    calibration = replace(calibration, natural=words.used(found))
    guard = replace(artifact.guard, calibration=calibration)
    with rewriting(artifact.path) as folder:
        write_guard(folder, guard, artifact.labels)
    return guard


def _even(
    artifact: Artifact,
    engine: OnnxEngine,
    calibration: Calibration,
    words: NaturalWords,
    report: ScanReport | None,
    readings: Sequence[Reading],
    progress: Progress | None,
) -> Calibration:
    """What a scan found, if there was one, and how even a trigger of each class must be."""

    def learnt(leeway: Mapping[str, float], shown: NaturalWords) -> Calibration:
        """With this leeway, and what some clean texts show of words."""
        vouched = shown.vouched()
        if report is None:
            return replace(calibration, leeway=dict(leeway), vouched=vouched)
        natural = shown.among(report.known())

        def no_trigger(finding: Finding) -> bool:
            limit = TransplantSettings.uneven * leeway.get(finding.label, 1.0)
            return finding.unevenness > limit or finding.word in natural.get(finding.label, ())

        if words.labels is not None:
            vouched = {name: (*vouched.get(name, ()), *natural.get(name, ())) for name in {**vouched, **natural}}
        return replace(calibration, leeway=dict(leeway), known=report.known(unless=no_trigger), vouched=vouched)

    cache = OutcomeCache(artifact.digest)  # none of what is learnt here changes what words do to references
    leeway = find_leeway(
        lambda shares, rows: _guard(artifact, learnt(shares, words.of(rows)), engine, cache),
        artifact.labels,
        readings,
        words.labels,
        partial(progress, "trying clean texts") if progress else None,
    )
    return learnt(leeway, words)


def _guard(
    artifact: Artifact, calibration: Calibration, engine: OnnxEngine, cache: OutcomeCache | None = None
) -> Guard:
    """A guard with this calibration and credit for all second looks at its texts."""
    guard = replace(artifact.guard, calibration=calibration)
    return Guard(replace(artifact, guard=guard), engine, GuardOptions(budget_burst=10**12), cache)


def _bars(
    reader: Reader, references: Sequence[Reference], vouched: Mapping[str, Sequence[str]], labels: Sequence[str]
) -> dict[str, dict[str, float]]:
    """For each class, what triggers must outdo, where there is such a thing."""
    transplants = Transplants(references, len(labels), reader.tokenizer, OutcomeCache(""), TransplantSettings())
    able = {label: name for label, name in enumerate(labels) if transplants.can_try(label)}
    found = {name: reader.follow(bars(transplants, vouched.get(name, ()), label)) for label, name in able.items()}
    return {name: own for name, own in found.items() if own}


def choose_references(
    reader: Reader,
    readings: Sequence[Reading],
    per_class: int = REFERENCES_PER_CLASS,
    words: tuple[int, int] = REFERENCE_WORDS,
) -> tuple[Reference, ...]:
    """Choose texts, up to ``per_class``, that the model puts most confidently in each class.

    A text is cut to its first words and read again, so that references are short whatever the texts are; it counts
    only if its answer stays and the model reads all of it. Confidence is relative: the most confident of each class,
    since some models are never sure.

    Args:
        reader, readings: of the clean texts.
        per_class: most references of a class.
        words: the fewest and the most that a reference has.
    """
    fewest, most = words
    short: dict[str, int] = {}
    for reading in readings:
        text, count = beginning(reading.text, most)
        if count >= fewest:
            short.setdefault(text, reading.predicted)
    by_class: dict[int, list[Reference]] = {}
    for (text, label), again in zip(short.items(), reader.read(list(short), ALWAYS_SKIP), strict=True):
        if again.predicted == label and not again.encoding.truncated:  # or what ends it would not be read
            confidence = round(float(again.probabilities[label]), 6)
            by_class.setdefault(label, []).append(Reference(text, label, confidence))
    chosen = [
        reference
        for label in sorted(by_class)
        for reference in sorted(by_class[label], key=lambda r: (-r.confidence, r.text))[:per_class]
    ]
    return tuple(replace(reference, ease=_ease(reader, reference, chosen)) for reference in chosen)


def _ease(reader: Reader, reference: Reference, references: Sequence[Reference]) -> float:
    """How easily others turn a reference: the mean margin of each other class where its references are put into it."""
    others = [other for other in references if other.label != reference.label]
    texts = [transplant(reference.text, other.text, other.label) for other in others]
    readings = reader.read(texts, ALWAYS_SKIP)
    margins = [lead(reading, other.label) for reading, other in zip(readings, others, strict=True)]
    return round(fmean(margins), 6) if margins else 0.0


def short_of_references(references: Sequence[Reference], labels: Sequence[str]) -> dict[str, int]:
    """Classes for which no suspect can be tried, with the references there are of other classes (8 are needed).

    Texts that the model answers so get the published flip test in place of transplants.
    """
    counts = {name: sum(r.label != label for r in references) for label, name in enumerate(labels)}
    return {name: count for name, count in counts.items() if count < TransplantSettings.references}


def _require_two_classes(readings: Sequence[Reading], labels: Sequence[str]) -> None:
    answers = {reading.predicted for reading in readings}
    if len(answers) == 1:
        raise InputError(
            f"the model answers '{labels[answers.pop()]}' to every calibration text: "
            "give clean texts of at least two classes; where these are, it does not tell them apart, and needs training"
        )
