"""Prometheus metrics of the server, those that people alert on. Nothing a caller sends can make a label set grow."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import fields
from functools import lru_cache
from math import isnan
from pathlib import Path
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from ..artifact import GateFit
from .drift import Drift
from .gates import Gate
from .metrics_suspects import Suspects
from .observer import Observer, Timing
from .reading import Reading
from .recent import RecentActions
from .refusals import Loss
from .verdict import Mode, Verdict

Labelled = TypeVar("Labelled", Counter, Histogram)

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_YES = {True: "yes", False: "no"}
WORKERS_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client reads it: where worker processes share their counts


class Metrics(Observer):
    """Counts what the engine and the routes tell.

    Attributes:
        recent: actions of the last minutes, for the page.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.recent = RecentActions()
        self._drifts: list[tuple[Gate, Drift]] = []
        self._requests = _labelled(
            Counter("tokenward_requests", "Requests by route and outcome.", ["route", "outcome"], registry=registry)
        )
        self._texts = _labelled(
            Counter("tokenward_texts", "Texts by what became of them.", ["outcome"], registry=registry)
        )
        self._actions = _labelled(
            Counter(
                "tokenward_actions",
                "Verdicts by action, enforced label and mode.",
                ["action", "label", "mode"],
                registry=registry,
            )
        )
        self._fallbacks = Counter(
            "tokenward_fallbacks", "Texts decided without a second look: its budget was spent.", registry=registry
        )
        self._trials = _labelled(
            Counter(
                "tokenward_trials",
                "Suspects tried, by whether the cache knew the outcome, and whether they are triggers.",
                ["cached", "confirmed"],
                registry=registry,
            )
        )
        self._gradients = _labelled(
            Counter(
                "tokenward_gradients",
                "First passes by whether the gate let the gradient be skipped.",
                ["skipped"],
                registry=registry,
            )
        )
        self._queue = Gauge(
            "tokenward_queue_texts", "Texts that wait for the model.", registry=registry, multiprocess_mode="livesum"
        )
        self._batch = _labelled(
            Histogram(
                "tokenward_batch_texts", "Texts in a micro-batch, by look.", ["look"], buckets=TEXTS, registry=registry
            )
        )
        self._tokens = _labelled(
            Counter("tokenward_tokens", "Tokens run, by kind: text or padding.", ["kind"], registry=registry)
        )
        self._seconds = Histogram(
            "tokenward_stage_seconds",
            "Time a request spent in each stage.",
            ["stage"],
            buckets=SECONDS,
            registry=registry,
        )
        self._stages = {stage.name: self._seconds.labels(stage.name) for stage in fields(Timing)}
        self._stability = Gauge(
            "tokenward_score_psi",
            "Population stability index of the latest scores against calibration; over 0.25: calibrate again.",
            ["gate"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._suspects = Suspects(os.environ.get(WORKERS_DIRECTORY))
        registry.register(self._suspects)

    def watch(self, gates: Sequence[tuple[Gate, GateFit]]) -> None:
        """Watch the scores of these gates for drift."""
        self._drifts = [(gate, Drift(gate, fit)) for gate, fit in gates]

    def request_done(self, route: str, outcome: str) -> None:
        """Count a request: ``route`` is a template, ``outcome`` is ``ok`` or the code of an error."""
        self._requests(route, outcome).inc()

    def render(self) -> bytes:
        """The exposition text; with several workers, that of all of them together."""
        for gate, drift in self._drifts:
            if not isnan(drift.index):  # of too few texts; a largest value of several workers would be lost in it
                self._stability.labels(gate.needs).set(drift.index)
        folder = os.environ.get(WORKERS_DIRECTORY)
        if folder is None:
            return generate_latest(self.registry)
        _forget_dead_workers(Path(folder))
        shared = CollectorRegistry()
        MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
        shared.register(self._suspects)
        return generate_latest(shared)

    def waiting(self, texts: int) -> None:
        """Note how many texts wait for the model."""
        self._queue.set(texts)

    def batch_done(self, texts: int, tokens: int, padded: int, second: int) -> None:
        """Count a batch; the looks that share one are counted each by itself."""
        for look, count in (("first", texts - second), ("second", second)):
            if count:
                self._batch(look).observe(count)
        self._tokens("text").inc(tokens)
        self._tokens("padding").inc(padded - tokens)

    def judged(self, first: Reading, verdict: Verdict, mode: Mode) -> None:
        """Count a verdict; off mode is no sign of anything, and counts as answered only."""
        self._texts("answered").inc()
        if mode == "off":
            return
        self._actions(verdict.action, verdict.enforced_label, mode).inc()
        self._gradients(_YES[first.anomaly_score is None]).inc()
        self.recent.add(verdict.action)
        for suspect in dict.fromkeys(suspect.text for suspect in verdict.suspects):  # of thousands alike, one
            self._suspects.add(suspect)
        for trial in verdict.confirmations:
            self._trials(_YES[trial.cached], _YES[trial.confirmed]).inc()
        if verdict.fallback:
            self._fallbacks.inc()
        if verdict.action != "unscorable":
            self._watch(first, verdict)

    def answered(self, timing: Timing) -> None:
        """Count where a request's time went."""
        for stage, histogram in self._stages.items():
            if stage != "second_pass" or timing.second_pass:
                histogram.observe(getattr(timing, stage))

    def lost(self, texts: int, why: Loss) -> None:
        """Count texts without an answer."""
        self._texts(why).inc(texts)

    def _watch(self, first: Reading, verdict: Verdict) -> None:
        length = len(first.encoding)
        if len(self._drifts) == 1:  # then the verdict's score is that gate's
            self._drifts[0][1].observe(verdict.anomaly_score, length)
            return
        for gate, drift in self._drifts:
            drift.observe(gate.score(first).value, length)


def _labelled(metric: Labelled) -> Callable[..., Labelled]:
    """The children of a metric by their labels, of which there are few: looking one up takes longer than counting."""
    return lru_cache(maxsize=1024)(metric.labels)


def _forget_dead_workers(folder: Path) -> None:
    """Drop the gauges of workers that are gone: nobody else takes them back."""
    for worker in {int(file.stem.rpartition("_")[2]) for file in folder.glob("gauge_live*_*.db")}:
        try:
            os.kill(worker, 0)
        except (ProcessLookupError, PermissionError):  # gone, or its number is somebody else's now
            with suppress(FileNotFoundError):  # another worker was faster
                mark_process_dead(worker, str(folder))  # type: ignore[no-untyped-call]
