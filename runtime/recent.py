"""How many texts got which action in the last minutes."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from time import monotonic

MINUTES = 15


class RecentActions:
    """One counter per minute, the old ones forgotten.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._minutes: deque[tuple[int, Counter[str]]] = deque(maxlen=MINUTES)

    def add(self, action: str) -> None:
        """Count an action now."""
        minute = int(self._clock() // 60)
        if not self._minutes or self._minutes[-1][0] != minute:
            self._minutes.append((minute, Counter()))
        self._minutes[-1][1][action] += 1

    def counts(self) -> Counter[str]:
        """Actions of the last ``MINUTES`` minutes."""
        oldest = int(self._clock() // 60) - MINUTES
        return sum((counts for minute, counts in self._minutes if minute > oldest), Counter())
