"""The guard: texts in, verdicts out, in one call."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import Any, get_args

from ..artifact import Artifact, GateFit, LayerScale, load_artifact
from ..errors import ArtifactError, InputError
from ..listing import listed
from .budget import Budget
from .cache import OutcomeCache
from .company import Company
from .conditions import Conditions
from .confirmation import Confirmer, Fallback
from .engine import ALWAYS_SKIP, Engine
from .engines import EngineName, open_engine
from .gates import Gate, known_gates
from .judge import Judge, calibrated, drive
from .known import KnownTriggers
from .reading import Reader
from .screening import Screen
from .tokenization import Encoding, Tokenizer
from .transplant import Transplants
from .transplant_settings import TransplantSettings
from .verdict import MODES, Mode, Verdict
from .vouching import halfway_classes

# Texts that get a second look at a time. A trigger that is in many texts of one call is confirmed for the first of
# them, and the cache knows it for the others; at once, they would spend the budget on asking the same.
AT_A_TIME = 128


@dataclass(frozen=True)
class GuardOptions:
    """How an artifact is served.

    Attributes:
        gates: names of the gates that raise suspicion (``anomaly``, ``class_token``); empty takes the preset's own.
        suspects: words that may be tried alone per text and round, most suspicious first.
        fallback: what happens to a suspicious text when the budget for second looks is spent.
        budget_share, budget_burst: see :class:`Budget`.
        cache_capacity: outcomes of transplants that are remembered.
        transplants: how hard a suspect is tried.
        screening: try the strongest words, and run of words, of texts that no gate raises, where the model is
            sure of them.
        threads: threads of the engine; 0 takes one per core.
        token_budget: padded tokens in one micro-batch.
    """

    gates: tuple[str, ...] = ()
    suspects: int = 1
    fallback: Fallback = "repair"
    budget_share: float = 1.0
    budget_burst: int = 200_000
    cache_capacity: int = 50_000
    transplants: TransplantSettings = field(default_factory=TransplantSettings)
    screening: bool = True
    threads: int = 0
    token_budget: int = 1024

    def __post_init__(self) -> None:
        """Refuse what would fail later, or mean something else.

        Raises:
            InputError: naming the option.
        """
        if self.fallback not in get_args(Fallback):
            raise InputError(f"fallback {self.fallback!r:.60} is unknown: choose from {', '.join(get_args(Fallback))}")
        for name in ("suspects", "budget_burst", "cache_capacity", "threads", "token_budget", "budget_share"):
            value, least = getattr(self, name), int(name in ("suspects", "token_budget"))
            known = isinstance(value, Integral) or (name == "budget_share" and isinstance(value, Real))
            if not known or not least <= value < math.inf:
                raise InputError(f"{name} is {value!r:.60}: give a number of at least {least}, whole but for shares")
        for name, kind in (("gates", tuple), ("transplants", TransplantSettings)):
            if not isinstance(getattr(self, name), kind):
                raise InputError(f"{name} is {getattr(self, name)!r:.60}: give a {kind.__name__}")


class Guard:
    """A loaded artifact that classifies texts and does not let a trigger decide.

    Use :func:`load` to make one. Safe to call from several threads.

    Args:
        artifact, engine, options: what is served, how it is run, and how it is guarded.
        cache: to be shared with guards whose artifacts differ in nothing but what they know of words; None makes one.

    Attributes:
        artifact: the verified folder.
        labels: class names by index.
        cache: outcomes of transplants, with its hit counts.
        reader: reads texts with the engine.
        judge: decides on readings; None where the artifact is not calibrated (only mode ``off`` works then).
    """

    def __init__(
        self, artifact: Artifact, engine: Engine, options: GuardOptions, cache: OutcomeCache | None = None
    ) -> None:
        self.artifact = artifact
        self.labels = artifact.labels
        references = options.transplants.references  # as many are chosen by confidence, then ordered: another panel
        panel = "" if references == TransplantSettings.references else f" with {references} references"
        self.cache = cache or OutcomeCache(artifact.digest + panel, options.cache_capacity)
        self.reader = Reader(tokenizer_of(artifact), engine, options.token_budget, _scales(artifact))
        self.judge = _judge(artifact, self.reader.tokenizer, self.cache, options)

    def classify(
        self, texts: str | Sequence[str], mode: Mode = "enforce", explain: bool = False, truncate: bool = True
    ) -> list[Verdict]:
        """Classify one text or many; verdicts come in the order of the texts.

        A verdict depends on the artifact and its own text alone, not on the others, their number or their order
        (except where the budget for second looks is spent, which the verdict then says, and but for int8, where the
        scales of a whole batch move scores by thousandths, and with them a text that is at a threshold).

        Args:
            texts: one text or a sequence of them.
            mode: ``enforce`` answers as the guard decides, ``monitor`` answers as the model does and reports what
                enforcing would have done, ``off`` only runs the model.
            explain: give per-token scores as well (this runs the backward pass for every text).
            truncate: let the model read the beginning of a text that is too long, and flag it.

        Raises:
            InputError: a text is not a string or not valid Unicode, is too long with ``truncate`` off, or the mode
                is unknown.
            EngineError: the model failed, or gave a text nothing finite.
            ArtifactError: the artifact is not calibrated and the mode is not ``off``.
        """
        texts = listed(texts)
        self.judge_for(mode)
        return self.classify_encoded(texts, self.encode(texts, truncate), mode, explain)

    def encode(self, texts: Sequence[str], truncate: bool = True) -> list[Encoding]:
        """Tokenise texts, and refuse those that :meth:`classify` would refuse, before the model runs."""
        encodings = self.reader.tokenizer.encode(texts)
        if not truncate:
            self.refuse_truncated(encodings)
        return encodings

    def classify_encoded(
        self, texts: Sequence[str], encodings: Sequence[Encoding], mode: Mode = "enforce", explain: bool = False
    ) -> list[Verdict]:
        """Classify texts that :meth:`encode` has tokenised; as :meth:`classify` otherwise."""
        judge = self.judge_for(mode)
        readings = self.reader.read_encoded(texts, encodings, judge.gate_value(mode, explain))
        steps = (judge.judge(reading, mode, explain) for reading in readings)
        return drive(steps, lambda asked: self.reader.read(asked, ALWAYS_SKIP), AT_A_TIME)

    def __call__(
        self, texts: str | Mapping[str, str] | Sequence[str | Mapping[str, str]], mode: Mode = "enforce"
    ) -> list[dict[str, Any]]:
        """Answer as a transformers text-classification pipeline does: label and score for each text.

        A text may be given as ``{"text": ...}``, as pipelines take it.

        An answer that is marked or to be refused (see :attr:`GuardOptions.fallback`) says so under ``action``.
        """
        given = [_unwrapped(each) for each in ([texts] if isinstance(texts, Mapping) else listed(texts))]
        marked = {"flagged", "blocked"}
        return [
            {"label": v.label, "score": v.score, **({"action": v.action} if v.action in marked else {})}
            for v in self.classify(given, mode)
        ]

    def judge_for(self, mode: Mode) -> Judge:
        """The judge that decides in ``mode``; an artifact without calibration has one for ``off`` only.

        Raises:
            InputError: the mode is unknown.
            ArtifactError: the artifact is not calibrated and the mode is not ``off``.
        """
        if mode not in MODES:
            raise InputError(f"mode {mode!r} is unknown: choose one of {', '.join(MODES)}")
        if self.judge is not None:
            return self.judge
        if mode != "off":
            calibrated(self.artifact)
        return Judge(self.labels, (), None, Budget(), tokenizer=self.reader.tokenizer)

    def refuse_truncated(self, encodings: Sequence[Encoding]) -> None:
        """Raise :class:`InputError` if the model would read only the beginning of a text."""
        for number, encoding in enumerate(encodings):
            if encoding.truncated:
                raise InputError(
                    f"text {number} is longer than the {self.reader.tokenizer.max_tokens} tokens the model reads: "
                    "shorten it or allow truncation"
                )


def load(
    path: str | Path,
    engine: EngineName = "auto",
    options: GuardOptions | None = None,
    checkpoint: str | Path | None = None,
) -> Guard:
    """Verify and load an artifact folder.

    Args:
        path: the artifact.
        engine: ``onnx`` (ONNX Runtime on CPU), ``onnx-cuda`` (the same on an NVIDIA GPU), ``torch-cuda`` (this
            project's kernels there), or ``auto``: the fastest that can run here; the log says which and why.
        options: how to serve it.
        checkpoint: for ``torch-cuda``: the checkpoint that the artifact was exported from, unless it has the weights.

    Raises:
        ArtifactError: the folder is missing, altered, incomplete or of an unknown schema, or the checkpoint is not
            the one it was exported from.
        EngineError: the graph cannot be loaded, or there is no GPU for an engine that needs one.
        InputError: the engine is unknown, or an argument is of another type.
        MissingExtraError: the engine's package is not installed.
    """
    options = GuardOptions() if options is None else options
    if not isinstance(options, GuardOptions):
        raise InputError(f"options is {type(options).__name__}, expected GuardOptions of {__name__}: give that or None")
    for name, value in (("path", path), ("checkpoint", "" if checkpoint is None else checkpoint)):
        if not isinstance(value, (str, Path)):
            raise InputError(f"{name} is {type(value).__name__}, expected a string or Path: give that of a folder")
    artifact = load_artifact(path)
    opened = open_engine(engine, artifact, options.threads, None if checkpoint is None else Path(checkpoint))
    return Guard(artifact, opened, options)


def tokenizer_of(artifact: Artifact) -> Tokenizer:
    """The tokenizer of an artifact, truncating at what its graph takes."""
    size, pad_id = artifact.config.get("vocab_size"), artifact.config.get("pad_token_id")
    if not isinstance(size, int):
        raise ArtifactError("config.json has no vocab_size: export the model again")
    return Tokenizer(artifact.tokenizer_path, artifact.guard.graph.max_tokens, size, pad_id or 0)


def _judge(artifact: Artifact, tokenizer: Tokenizer, cache: OutcomeCache, options: GuardOptions) -> Judge | None:
    calibration = artifact.guard.calibration
    if calibration is None:
        return None
    preset = artifact.guard.graph.preset
    names = options.gates or (("class_token",) if preset == "tokenward" else ("anomaly",))
    known = known_gates(bool(calibration.layers))
    gates = [(_gate(name, known), _fit(name, calibration.gates)) for name in names]
    budget = Budget(options.budget_share, options.budget_burst)
    confirmer = screen = None
    if preset == "tokenward":
        vouched = [frozenset(calibration.vouched.get(name, ())) for name in artifact.labels]
        bars = [calibration.bars.get(name, {}) for name in artifact.labels]
        transplants = Transplants(
            calibration.references,
            len(artifact.labels),
            tokenizer,
            cache,
            options.transplants,
            vouched,
            bars,
            halfway_classes(artifact.labels, calibration),
            KnownTriggers(tokenizer, [frozenset(calibration.known.get(name, ())) for name in artifact.labels]),
            [calibration.leeway.get(name, 1.0) for name in artifact.labels],
        )
        looks = known["class_token"]
        company = Company(looks, _fit("class_token", calibration.gates), transplants)
        confirmer = Confirmer(
            tokenizer,
            transplants,
            budget,
            options.fallback,
            options.suspects,
            company=company,
            middling=calibration.middling,
            natural=[frozenset(calibration.natural.get(name, ())) for name in artifact.labels],
            conditions=Conditions(
                transplants, calibration.references, calibration.long_references, len(artifact.labels)
            ),
        )
        if options.screening and calibration.sure:
            screen = Screen(looks, calibration, transplants, budget)
    return Judge(artifact.labels, gates, confirmer, budget, screen, tokenizer=tokenizer)


def _unwrapped(text: str | Mapping[str, str]) -> str:
    if not isinstance(text, Mapping):
        return text
    if set(text) != {"text"}:
        raise InputError(f"a mapping with {', '.join(map(str, text))}: expected text alone, no pairs")
    return text["text"]


def _scales(artifact: Artifact) -> tuple[LayerScale, ...]:
    return artifact.guard.calibration.layers if artifact.guard.calibration else ()


def _gate(name: str, known: Mapping[str, Gate]) -> Gate:
    if name not in known:
        raise InputError(f"gate {name!r} is unknown: choose from {', '.join(known)}")
    return known[name]


def _fit(name: str, fits: dict[str, GateFit]) -> GateFit:
    if name not in fits:
        raise InputError(
            f"the artifact is not calibrated for gate {name!r}, only for {', '.join(fits)}: calibrate it again"
        )
    return fits[name]
