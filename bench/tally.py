"""Counting what a system runs: forward and backward passes, one per text that goes through a model."""

from __future__ import annotations

from dataclasses import dataclass

from ..runtime.engine import ALWAYS_SKIP, Arrays, Batch, Engine


@dataclass
class Tally:
    """Passes so far; a text in a batch is one pass.

    Attributes:
        forwards: of the classifier.
        backwards: of the classifier.
        language_model: forward passes of a language model beside it.
        tokens: that the classifier read, padding not counted.
    """

    forwards: int = 0
    backwards: int = 0
    language_model: int = 0
    tokens: int = 0

    def since(self, before: Tally) -> Tally:
        """What was added after ``before`` was copied."""
        return Tally(
            self.forwards - before.forwards,
            self.backwards - before.backwards,
            self.language_model - before.language_model,
            self.tokens - before.tokens,
        )


class CountingEngine:
    """A guarded graph's engine that counts what it reads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name = engine.name
        self.cost = engine.cost
        self.tally = Tally()

    def run(self, batch: Batch, gate: float) -> Arrays:
        """Count, then run."""
        arrays = self._engine.run(batch, gate)
        self.tally.forwards += len(batch.input_ids)
        self.tally.tokens += int(batch.attention_mask.sum())
        if "saliency" in arrays and gate != ALWAYS_SKIP:
            self.tally.backwards += int(arrays["scored"].sum()) if "scored" in arrays else len(batch.input_ids)
        return arrays
