"""The most frequent items of an endless stream in bounded memory."""

from __future__ import annotations


class HeavyHitters:
    """Space-Saving (Metwally et al. 2005): ``capacity`` counters; a new item takes over the smallest one.

    Whoever sends ever new items cannot make it grow, and cannot push out an item that is more frequent than
    1/capacity of the stream. A count is never too small and at most ``total / capacity`` too large.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._counts: dict[str, int] = {}

    def add(self, item: str) -> None:
        """Count an item."""
        count = self._counts.get(item)
        if count is None and len(self._counts) >= self.capacity:
            smallest = min(self._counts, key=self._counts.__getitem__)
            count = self._counts.pop(smallest)
        self._counts[item] = (count or 0) + 1

    def top(self, k: int) -> list[tuple[str, int]]:
        """The ``k`` most frequent items and their counts, most frequent first."""
        return sorted(self._counts.items(), key=lambda pair: (-pair[1], pair[0]))[:k]
