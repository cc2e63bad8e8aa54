"""Finds the session settings under which an artifact costs least on this machine, by measuring one choice at a time."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

from ..artifact import GRAPH, Artifact
from ..checksums import file_sha256
from ..runtime.engine import ALWAYS_SKIP, NEVER_SKIP, Arrays, Batch
from ..runtime.engine_onnx import OnnxEngine
from ..runtime.session import FUSIONS, SessionSettings, open_session
from ..runtime.tuning import Tuned, graph_digest, store, this_host
from .alternation import Spread, System, alternate, ratio

_SHAPES = ((1, 24), (8, 32), (16, 48))  # texts × tokens: a request alone, a small batch, a full one
_WORTH = 0.98  # a choice must cost less than this share of the one before, and in three rounds of four less than all
_PAUSE = 0.1
_LEAST_ROUNDS, _MOST_ROUNDS = 3, 15
_LOADS = 3
_LOADS_WORTH = 0.8

Run = Callable[[], object]


@dataclass(frozen=True)
class Trial:
    """One alternative that was measured: its cost in units of what was best before it."""

    what: str
    cost: Spread
    taken: bool


@dataclass(frozen=True)
class TuningReport:
    """What was tried, what came of it, and where it is kept."""

    trials: tuple[Trial, ...]
    tuned: Tuned
    folder: Path


def tune(
    artifact: Artifact, shared: bool = False, seconds: float = 40.0, progress: Callable[[str], None] | None = None
) -> TuningReport:
    """Measure and keep the best settings.

    Args:
        shared: other processes use the same cores: what counts is the time of processors, not that of the clock.
        seconds: for all measurements; a graph so slow that three rounds of each choice take longer takes longer.
        progress: told what is being tried.

    Raises:
        EngineError: the graph cannot be run.
        OSError: the cache folder cannot be written.
    """
    clock = time.process_time if shared else time.perf_counter
    search = _Search(artifact, clock, seconds / 4, progress or (lambda _: None))
    machine = this_host()
    for fusion in FUSIONS:
        search.try_all([_toggled(search.best, fusion)], share=1 / len(FUSIONS))
    search.try_all([(f"{n} threads", replace(search.best, threads=n)) for n in _fewer_than(machine.cores)])
    search.try_all([("threads without work sleep", replace(search.best, spinning=False))])
    search.try_all([("memory is given back after each run", replace(search.best, arena=False))])
    with tempfile.TemporaryDirectory() as folder:
        search.progress("the optimised graph")
        optimized = _optimized(artifact, search.best, Path(folder))
        tuned = Tuned(
            graph_digest(artifact),
            machine,
            search.best,
            "processor time" if shared else "time",
            search.cost(),
            None if optimized is None else file_sha256(optimized),
        )
        return TuningReport(tuple(search.trials), tuned, store(tuned, optimized))


class _Search:
    """Coordinate descent from the default settings."""

    def __init__(
        self, artifact: Artifact, clock: Callable[[], float], seconds: float, progress: Callable[[str], None]
    ) -> None:
        self.best = SessionSettings()
        self.trials: list[Trial] = []
        self.progress = progress
        self._artifact, self._clock, self._seconds = artifact, clock, seconds

    def try_all(self, choices: Sequence[tuple[str, SessionSettings]], share: float = 1.0) -> None:
        """Measure choices beside the best so far, in one alternating run, and take the best of them where it pays."""
        choices = [(what, settings) for what, settings in choices if settings != self.best]
        if not choices:
            return
        self.progress(" / ".join(what for what, _ in choices))
        costs = self._costs([self.best, *(settings for _, settings in choices)], self._seconds * share)
        cheapest = min(range(len(choices)), key=lambda i: costs[i].median)
        for index, ((what, settings), cost) in enumerate(zip(choices, costs, strict=True)):
            taken = index == cheapest and cost.median < _WORTH and cost.high < 1
            self.trials.append(Trial(what, cost, taken))
            if taken:
                self.best = settings

    def cost(self) -> float:
        """Of the best settings in units of the default ones, both measured once more."""
        if self.best == SessionSettings():
            return 1.0
        self.progress("all of it")
        return self._costs([SessionSettings(), self.best], self._seconds / 2)[0].median

    def _costs(self, settings: Sequence[SessionSettings], seconds: float) -> list[Spread]:
        """Costs of all but the first, in units of the first."""
        systems = [System(str(i), pass_over(self._artifact, each)) for i, each in enumerate(settings)]
        start = time.perf_counter()
        systems[0].run()
        once = time.perf_counter() - start + _PAUSE
        rounds = int(np.clip(seconds / (once * len(systems)) - 1, _LEAST_ROUNDS, _MOST_ROUNDS))
        taken = alternate(systems, rounds, pause=_PAUSE, clock=self._clock)
        return [ratio(taken, "0", system.name) for system in systems[1:]]


def pass_over(artifact: Artifact, settings: SessionSettings) -> Run:
    """A run over batches of the usual sizes, as first passes ask for them, in a session of its own."""
    engine = OnnxEngine(artifact.model_path, settings=settings)
    gate = ALWAYS_SKIP if artifact.guard.graph.preset == "tokenward" else NEVER_SKIP
    vocabulary, longest = int(artifact.config["vocab_size"]), artifact.guard.graph.max_tokens
    batches = [random_batch(rows, min(tokens, longest), vocabulary) for rows, tokens in _SHAPES]
    return lambda: [engine.run(batch, gate) for batch in batches]


def random_batch(rows: int, tokens: int, vocabulary: int) -> Batch:
    """Random tokens without padding."""
    ids = np.random.default_rng(rows * tokens).integers(0, vocabulary, (rows, tokens))
    return Batch(ids, np.ones_like(ids))


def _toggled(settings: SessionSettings, fusion: str) -> tuple[str, SessionSettings]:
    if fusion in settings.disabled:
        return f"with {fusion}", replace(settings, disabled=tuple(f for f in settings.disabled if f != fusion))
    return f"without {fusion}", replace(settings, disabled=(*settings.disabled, fusion))


def _fewer_than(cores: int) -> list[int]:
    return [1 << power for power in range(cores.bit_length()) if 1 << power < cores]


def _optimized(artifact: Artifact, settings: SessionSettings, folder: Path) -> Path | None:
    """The graph as the optimisers leave it, where it gives the same numbers and is quicker to load, check included."""
    if (artifact.path / f"{GRAPH}.data").exists():
        return None  # one file could not hold it
    path = folder / "optimized.onnx"
    open_session(artifact.model_path, settings, optimized=path)

    def checked() -> OnnxEngine:
        file_sha256(path)
        return OnnxEngine(artifact.model_path, settings=settings, optimized=path)

    def usual() -> OnnxEngine:
        return OnnxEngine(artifact.model_path, settings=settings)

    batch = random_batch(3, 7, int(artifact.config["vocab_size"]))
    if not _same(usual().run(batch, NEVER_SKIP), checked().run(batch, NEVER_SKIP)):
        return None
    seconds = alternate([System("usual", usual), System("checked", checked)], _LOADS, pause=_PAUSE)
    return path if median(seconds["checked"]) < _LOADS_WORTH * median(seconds["usual"]) else None


def _same(a: Arrays, b: Arrays) -> bool:
    return a.keys() == b.keys() and all(np.allclose(a[name], b[name], rtol=1e-4, atol=1e-5) for name in a)
