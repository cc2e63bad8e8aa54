"""A guard in the form of the peers: the same questions, the same answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy

from ..errors import ArtifactError
from ..runtime.engine import ALWAYS_SKIP, NEVER_SKIP
from ..runtime.guard import Guard
from ..runtime.verdict import Mode, Verdict
from .peers.peer import Answer
from .tally import CountingEngine


class Guarded:
    """A loaded guard; its artifact carries the calibration, and scores are over the gate's threshold.

    Args:
        guard: counts from now on what it reads.
        name: of the defence.

    Raises:
        ArtifactError: the artifact is not calibrated.
    """

    threshold = 0.0

    def __init__(self, guard: Guard, name: str) -> None:
        if guard.judge is None:
            raise ArtifactError("the artifact is not calibrated: run 'tokenward calibrate' on it with clean texts")
        self.name = name
        self.guard, self._judge = guard, guard.judge
        self._scoring = copy(guard.reader)
        engine = CountingEngine(guard.reader.engine)
        guard.reader.engine = engine
        self.tally = engine.tally

    @property
    def settings(self) -> Mapping[str, float | int | str]:
        """Preset, precision and the fit of each gate in use; see :class:`Peer`."""
        graph = self.guard.artifact.guard.graph
        gates = {
            type(gate).__name__: f"{fit.threshold:.4f}, percentile {fit.percentile:g}"
            for gate, fit in self._judge.gates
        }
        return {"preset": graph.preset, "precision": graph.precision, **gates}

    def fit(self, texts: Sequence[str]) -> None:
        """Nothing to do: the artifact is calibrated."""

    def classify(self, texts: Sequence[str], mode: Mode = "enforce") -> list[Answer]:
        """See :class:`Peer`; the score is the gate's, over its threshold.

        Scores are read in a pass of their own that is not counted: a served text has none where the graph has proved
        without it that the text is under the threshold.
        """
        number = {label: index for index, label in enumerate(self.guard.labels)}
        graded = self._judge.gate_value("enforce", False) != ALWAYS_SKIP
        readings = self._scoring.read(texts, NEVER_SKIP if graded else ALWAYS_SKIP)
        return [
            Answer(
                label=None if verdict.action == "blocked" else number[verdict.label],
                original_label=number[verdict.original_label],
                score=self._judge.weigh(reading)[2],
                flagged=verdict.action != "passed",
                second=verdict.action not in ("passed", "unscorable"),
                suspect=_suspect(verdict),
                text=verdict.repaired_text,
            )
            for verdict, reading in zip(self.guard.classify(texts, mode), readings, strict=True)
        ]


def _suspect(verdict: Verdict) -> str:
    """What the guard took out, or else what it tried."""
    if verdict.suspects:
        return " ".join(suspect.text for suspect in verdict.suspects)
    return " ".join(confirmation.span for confirmation in verdict.confirmations)
