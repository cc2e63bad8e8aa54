"""The budget of second looks: an attacker who sends a new odd word in every request must not slow everybody down."""

from __future__ import annotations

from threading import Lock
from typing import Any, TypeVar

from .reading import Asking

T = TypeVar("T")


class Budget:
    """Credit in tokens: every first pass earns a share of its own tokens, every second look spends what it reads.

    Args:
        share: tokens earned per token of first passes.
        burst: most credit that is kept, and what there is at the start (a cold cache needs it).
    """

    def __init__(self, share: float = 1.0, burst: int = 200_000) -> None:
        self.share = share
        self.burst = float(burst)
        self._credit = float(burst)
        self._lock = Lock()

    @property
    def spent(self) -> bool:
        """Whether there is no credit left."""
        return self._credit <= 0

    def earn(self, tokens: int) -> None:
        """Count the tokens of a first pass."""
        with self._lock:
            self._credit = min(self.burst, self._credit + self.share * tokens)

    def spend(self, tokens: int) -> None:
        """Count the tokens of a second look; the last one may overdraw the credit."""
        with self._lock:
            self._credit -= tokens


def within(budget: Budget, steps: Asking[T]) -> Asking[tuple[T | None, bool]]:
    """Go on with an asking while there is credit: what it returns, None where that ran out, and whether it asked.

    Equal texts asked for at once are read once, and charged once.
    """
    answer: Any = None
    asked = False
    while True:
        try:
            texts = steps.send(answer)
        except StopIteration as stop:
            return stop.value, asked
        if budget.spent:
            steps.close()
            return None, asked
        answer = yield texts
        asked = True
        budget.spend(sum(len(reading.encoding) for reading in {reading.text: reading for reading in answer}.values()))
