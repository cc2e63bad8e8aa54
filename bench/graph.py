"""What a guarded graph costs in ONNX Runtime beside the forward pass it was made from: sessions alone, no texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, require
from ..runtime.batches import pad, plan
from ..runtime.engine import NEVER_SKIP, Batch
from ..runtime.engine_onnx import OnnxEngine
from .alternation import Spread, System, alternate, ratio, spread
from .graph_subject import Subject
from .record import Metric, Row, timed

PLAIN = "plain forward pass"
NARROWED = "the same, narrowed"
PERCENTILE = 95.0  # of the texts' own scores: the threshold of the gated passes
_TOKENS = 2048  # padded tokens in one timed run: a small batch is run several times in it
_TOKEN_BUDGET = 1024  # padded tokens in a micro-batch of texts, as served
_AT_ONCE = 8


@dataclass(frozen=True)
class Workload:
    """Batches that a session runs one after the other; ``real`` where they are texts and not random tokens."""

    name: str
    batches: tuple[Batch, ...]
    real: bool = False


@dataclass(frozen=True)
class GraphRow:
    """One way to run one graph on one workload; spreads are over rounds.

    Attributes:
        milliseconds: of the whole workload.
        times_plain, times_narrowed: cost in units of the plain forward pass in default settings, and of the narrowed.
        skipped: share of texts whose gradient the gate left out; None where the gate has no say.
    """

    workload: str
    name: str
    milliseconds: Spread
    times_plain: Spread
    times_narrowed: Spread
    skipped: float | None

    def record(self) -> Row:
        """The row of a result file."""
        metrics = {
            "milliseconds": timed(self.milliseconds, "ms", "lower"),
            "times_plain": timed(self.times_plain, "×", "lower"),
            "times_narrowed": timed(self.times_narrowed, "×", "lower"),
        }
        if self.skipped is not None:
            metrics["skipped"] = Metric(self.skipped, unit="share", better="higher")
        return Row({"workload": self.workload, "system": self.name}, metrics)


def shaped(rows: int, tokens: int, vocabulary: int) -> Workload:
    """Random tokens, no padding, in as many batches as fill a timed run."""
    draw = np.random.default_rng(rows * tokens)
    ids = [draw.integers(0, vocabulary, (rows, tokens)) for _ in range(max(_TOKENS // (rows * tokens), 1))]
    return Workload(f"{rows} × {tokens}", tuple(Batch(batch, np.ones_like(batch)) for batch in ids))


def real(texts: Sequence[str], subject: Subject) -> Workload:
    """Texts in the micro-batches they are served in."""
    encodings = subject.tokenizer.encode(texts)
    groups = plan([len(encoding) for encoding in encodings], _TOKEN_BUDGET)
    batches = tuple(pad([encodings[i] for i in group], subject.tokenizer.pad_id) for group in groups)
    return Workload(f"{len(texts)} texts", batches, real=True)


def arriving(texts: Sequence[str], subject: Subject) -> Workload:
    """Texts as they come, eight at a time, short ones padded to long ones."""
    encodings = subject.tokenizer.encode(texts)
    groups = (encodings[i : i + _AT_ONCE] for i in range(0, len(texts), _AT_ONCE))
    batches = tuple(pad(group, subject.tokenizer.pad_id) for group in groups)
    return Workload(f"{len(texts)} texts, {_AT_ONCE} as they come", batches, real=True)


def measure_graphs(
    subject: Subject, workloads: Sequence[Workload], rounds: int, progress: Callable[[str], None] | None = None
) -> list[GraphRow]:
    """Time all graphs against the forward pass in one alternating run per workload.

    A gated pass runs on texts alone, with the threshold that 5 % of their own scores reach.

    Raises:
        InputError: there is nothing to run, or a batch is longer than the model reads.
    """
    if not workloads:
        raise InputError("nothing to run: give a shape or a file of texts")
    plain, narrowed = _Plain(subject.plain), _Plain(subject.narrowed)
    engines = {path: OnnxEngine(path) for path in dict.fromkeys(variant.path for variant in subject.variants)}
    rows: list[GraphRow] = []
    for work in workloads:
        systems = [
            System(PLAIN, partial(plain.run, work.batches)),
            System(NARROWED, partial(narrowed.run, work.batches)),
        ]
        skipped: dict[str, float] = {}
        for variant in subject.variants:
            engine = engines[variant.path]
            if variant.gate is None and not work.real:
                continue
            gate = _threshold(engine, work) if variant.gate is None else variant.gate
            if variant.gate is None:
                skipped[variant.name] = 1 - float(np.mean(_outputs(engine, work, gate, "scored")))
            systems.append(System(variant.name, _runs(engine, work, gate)))
        seconds = alternate(systems, rounds, progress=progress)
        rows += [
            GraphRow(
                work.name,
                system.name,
                spread([1e3 * s for s in seconds[system.name]]),
                ratio(seconds, PLAIN, system.name),
                ratio(seconds, NARROWED, system.name),
                skipped.get(system.name),
            )
            for system in systems
        ]
    return rows


def _runs(engine: OnnxEngine, work: Workload, gate: float) -> Callable[[], None]:
    def run() -> None:
        for batch in work.batches:
            engine.run(batch, gate)

    return run


def _threshold(engine: OnnxEngine, work: Workload) -> float:
    return float(np.percentile(_outputs(engine, work, NEVER_SKIP, "anomaly_score"), PERCENTILE))


def _outputs(engine: OnnxEngine, work: Workload, gate: float, name: str) -> NDArray[Any]:
    return np.concatenate([engine.run(batch, gate)[name] for batch in work.batches])


class _Plain:
    """A forward pass in ONNX Runtime's default settings."""

    def __init__(self, path: Path) -> None:
        ort: Any = require("onnxruntime", "cpu")
        self._session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(self, batches: Sequence[Batch]) -> None:
        for batch in batches:
            self._session.run(None, {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask})
