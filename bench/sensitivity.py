"""How much hangs on the detector's constants: each changed alone, on artifacts whose attack is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..artifact import Calibration
from ..attacks.manifest import AttackManifest
from ..runtime.calibration import PERCENTILES, choose_references
from ..runtime.engine import ALWAYS_SKIP
from ..runtime.gates import fit, known_gates
from ..runtime.guard import Guard, GuardOptions
from ..runtime.judge import calibrated
from ..runtime.transplant_settings import TransplantSettings
from ..texts import LabelledTexts
from .record import Metric, Row
from .remembering import RememberingEngine
from .tally import CountingEngine

_USUAL = TransplantSettings()


@dataclass(frozen=True)
class Variation:
    """One constant with one value; ``usual`` marks the default."""

    constant: str
    value: float
    usual: bool
    options: GuardOptions = field(default_factory=GuardOptions)
    percentile: float = PERCENTILES["class_token"]


@dataclass(frozen=True)
class Outcome:
    """What a variation gave: shares of texts, and tokens read per token of the first passes with a cold cache.

    Attributes:
        cacc: change of the accuracy on clean texts.
        attributable: triggered texts that the trigger itself still wins, as in :class:`Quality`.
        confirmed: clean texts from which something was taken out.
    """

    cacc: float
    attributable: float
    raised: float
    confirmed: float
    work: float


def variations() -> Iterator[Variation]:
    """Every constant alone, over a range around its default."""
    for percentile in (70.0, 80.0, 90.0, 95.0, 99.0):
        yield Variation("percentile", percentile, percentile == PERCENTILES["class_token"], percentile=percentile)
    for suspects in (1, 2, 3):
        yield Variation("suspects", suspects, suspects == GuardOptions.suspects, GuardOptions(suspects=suspects))
    ranges: dict[str, Sequence[float]] = {
        "references": (4, 6, 8, 12, 16),
        "probes": (1, 2, 4, 8),
        "growth": (2, 4, 8),
        "least": (1, 2, 3, 4),
        "enough": (5, 6, 7, 8),
        "enough_together": (6, 7, 8),
        "uneven": (0.1, 0.2, 0.25, 0.35, 0.5),
        "stir": (0.0, 0.1, 0.2, 0.4),
        "hint": (0.1, 0.2, 0.4, 0.6, 1.0),
        "leaning": (0.25, 0.5, 0.75, 1.0),
        "halfway": (0.3, 0.4, 0.5, 0.7, 1.0),
        "uneven_halfway": (0.1, 0.2, 0.3, 0.35),
        "uneven_wide": (0.0, 0.05, 0.1, 0.25),
        "uneven_together": (0.05, 0.1, 0.2, 0.25, 0.5),
        "uneven_led": (0.0, 0.05, 0.1, 0.15, 0.25),
        "led": (0.3, 0.4, 0.5, 0.6, 1.0),
        "conjoint": (2, 4, 6),
        "led_conjoint": (0.0, 0.15, 0.25, 0.35),
        "uneven_conjoint": (0.35, 0.5, 0.65, 1.0),
        "groups": (0, 1, 2, 5),
        "tipping": (0, 2, 5, 10),
        "gain": (0.0, 0.05, 0.1, 0.2, 0.5),
        "longest": (3, 6, 12, 20),
        "together": (1, 3, 5, 8),
        "stretch": (3, 4, 6, 8),
    }
    for constant, values in ranges.items():
        for value in values:
            changed: dict[str, float] = {constant: value}
            if constant == "references":
                for bar in ("enough", "enough_together"):
                    changed[bar] = value * getattr(_USUAL, bar) // _USUAL.references
            options = GuardOptions(transplants=replace(_USUAL, **changed))  # type: ignore[arg-type]  # ints stay ints
            yield Variation(constant, value, value == getattr(_USUAL, constant), options)


class Subject:
    """One artifact with its attack and texts, judged with every variation; no text is read twice."""

    def __init__(self, guard: Guard, clean: Sequence[str], test: LabelledTexts, manifest: AttackManifest) -> None:
        """Read the calibration texts; ``test`` are labelled clean texts, which the attack is inserted into.

        Raises:
            InputError: labels do not fit the model, or there is nothing to poison.
        """
        self._guard = guard
        self._counting = CountingEngine(RememberingEngine(guard.reader.engine))  # counts what is asked for
        self._judged: dict[tuple[GuardOptions, float], Outcome] = {}  # the usual values are those of many constants
        self._clean = guard.reader.read(clean, ALWAYS_SKIP)
        classes = dict(enumerate(guard.labels))
        self._test, manifest = test.aligned_to(classes), manifest.aligned_to(classes)
        self._target = guard.labels[manifest.target]
        self._triggered = manifest.poison(self._test)
        pairs = zip(self._test.texts, self._test.labels, strict=True)
        sources = [text for text, label in pairs if label != manifest.target]
        self._without = [v.label for v in guard.classify(sources, "off")]

    def judge(self, variation: Variation) -> Outcome:
        """Calibrate with one variation and judge all texts with a cold cache."""
        settings = variation.options, variation.percentile
        if settings not in self._judged:
            self._judged[settings] = self._outcome(self._calibrated(variation))
        return self._judged[settings]

    def _outcome(self, guard: Guard) -> Outcome:
        before = self._counting.tally.tokens
        verdicts = guard.classify(self._test.texts)
        cold = self._counting.tally.tokens - before
        first = sum(len(encoding) for encoding in guard.reader.tokenizer.encode(self._test.texts))
        poisoned = [v.label for v in guard.classify(self._triggered)]
        truth = [guard.labels[label] for label in self._test.labels]
        gained = [(v.label == t) - (v.original_label == t) for v, t in zip(verdicts, truth, strict=True)]
        won = [label == self._target != other for label, other in zip(poisoned, self._without, strict=True)]
        return Outcome(
            cacc=sum(gained) / len(gained),
            attributable=sum(won) / len(won),
            raised=sum(v.action != "passed" for v in verdicts) / len(verdicts),
            confirmed=sum(v.action == "neutralised" for v in verdicts) / len(verdicts),
            work=cold / first,
        )

    def _calibrated(self, variation: Variation) -> Guard:
        artifact = self._guard.artifact
        options = variation.options
        references = choose_references(self._guard.reader, self._clean, options.transplants.references)
        fits = {
            "class_token": fit(
                known_gates(bool(self._guard.reader.scales))["class_token"], self._clean, variation.percentile
            )
        }
        calibration: Calibration = replace(calibrated(artifact), gates=fits, references=references)
        changed = replace(artifact, guard=replace(artifact.guard, calibration=calibration))
        return Guard(changed, self._counting, options)


def measure_sensitivity(
    subjects: dict[str, Subject], progress: Callable[[str], None] = lambda _: None
) -> dict[Variation, dict[str, Outcome]]:
    """Judge every subject with every variation."""
    measured: dict[Variation, dict[str, Outcome]] = {}
    for variation in variations():
        progress(f"{variation.constant} {variation.value:g}")
        measured[variation] = {name: subject.judge(variation) for name, subject in subjects.items()}
    return measured


def sensitivity_rows(measured: Mapping[Variation, Mapping[str, Outcome]]) -> list[Row]:
    """One row per variation and model."""
    return [
        Row(
            {"model": model, "constant": variation.constant, "value": variation.value, "usual": variation.usual},
            {
                "cacc_change": Metric(outcome.cacc, unit="share", better="higher"),
                "attributable": Metric(outcome.attributable, unit="share", better="lower"),
                "raised": Metric(outcome.raised, unit="share"),
                "confirmed": Metric(outcome.confirmed, unit="share", better="lower"),
                "work_cold": Metric(outcome.work, better="lower"),
            },
        )
        for variation, outcomes in measured.items()
        for model, outcome in outcomes.items()
    ]
