"""The queue of texts waiting for the engine, and which of them share the next micro-batch. Time comes from outside."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from .batch_cost import BatchCost
from .tokenization import Encoding


@dataclass(slots=True, eq=False)
class Turn:
    """What all readings of one call share: when the latest of them was taken, in seconds."""

    taken: float = -math.inf


class Owner(Protocol):
    """Whoever waits for a reading."""

    @property
    def gone(self) -> bool:
        """Whether it has stopped waiting."""

    @property
    def turn(self) -> Turn:
        """That of its call."""


OwnerT = TypeVar("OwnerT", bound=Owner)


@dataclass(slots=True, eq=False)
class Entry(Generic[OwnerT]):
    """One tokenised text on its way through the model.

    Attributes:
        gate: value of the graph's gate; only texts with equal gates may share a batch, so that a text's numbers do
            not depend on its batch mates.
        urgent: a second look, which goes before first ones that have not waited long (its caller has waited already).
        arrived: time it entered the queue, in seconds.
        owners: all that wait for its reading.
    """

    text: str
    encoding: Encoding
    gate: float
    urgent: bool
    arrived: float
    owners: list[OwnerT]


class BatchQueue(Generic[OwnerT]):
    """Entries waiting for the engine; equal texts become one entry, so that a burst of them is read once.

    The next batch is built around the most pressing entry. An entry presses more the earlier it arrived, and a text of
    n tokens lets those pass that arrive up to ``n × patience`` later: short texts do not wait behind long ones. Second
    looks count as having arrived ``head_start`` earlier. Those of one call take turns with the others: once one is
    taken, the rest count as arriving at that time, so that nobody waits for all of a large call. Since the former are
    so many seconds and no more, and a call has so many entries and no more, no text waits for ever, whatever keeps
    coming. The neighbours by length join while that makes the batch cheaper per token of text:
    padding is paid for, and so is starting the model once more.

    Args:
        token_budget: most padded tokens in a batch, ``longest × count``; a longer text gets a batch of its own.
        max_wait: seconds that an entry may wait for others to fill its batch while the engine is idle.
        cost: of a batch.
        patience: seconds per token.
        head_start: seconds; far less than requests have, or traffic that needs second looks would starve first ones.
    """

    def __init__(
        self, token_budget: int, max_wait: float, cost: BatchCost, patience: float = 0.001, head_start: float = 0.2
    ) -> None:
        self.token_budget = token_budget
        self.cost = cost
        self.max_wait = max_wait
        self.patience = patience
        self.head_start = head_start
        self._entries: dict[tuple[str, float], Entry[OwnerT]] = {}
        self._planned: tuple[list[Entry[OwnerT]], bool] | None = None  # the next batch, until the queue changes

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def looks(self) -> int:
        """Entries that are second looks."""
        return sum(entry.urgent for entry in self._entries.values())

    def put(self, entries: Iterable[Entry[OwnerT]]) -> None:
        """Add entries."""
        self._planned = None
        for entry in entries:
            waiting = self._entries.setdefault((entry.text, entry.gate), entry)
            if waiting is not entry:
                waiting.owners += entry.owners
                waiting.urgent |= entry.urgent

    def prune(self) -> int:
        """Drop entries that nobody waits for any more, and return how many there were."""
        before = len(self._entries)
        self._planned = None
        for key, entry in list(self._entries.items()):
            entry.owners = [owner for owner in entry.owners if not owner.gone]
            if not entry.owners:
                del self._entries[key]
        return before - len(self._entries)

    def due(self) -> float:
        """When the next batch should start: −∞ for at once, +∞ while the queue is empty."""
        if not self._entries:
            return math.inf
        batch, full = self._next()
        if full or any(entry.urgent for entry in self._entries.values()):
            return -math.inf
        return min(entry.arrived for entry in batch) + self.max_wait

    def take(self, now: float) -> list[Entry[OwnerT]]:
        """Remove and return the next batch; the queue must not be empty."""
        batch, _ = self._next()
        for entry in batch:
            del self._entries[entry.text, entry.gate]
            for owner in entry.owners:
                owner.turn.taken = now
        self._planned = None
        return batch

    def _next(self) -> tuple[list[Entry[OwnerT]], bool]:
        """The next batch, the most pressing entry first, and whether it is full."""
        self._planned = self._planned or self._plan()
        return self._planned

    def _plan(self) -> tuple[list[Entry[OwnerT]], bool]:
        anchor = min(self._entries.values(), key=self._pressing)
        line = [entry for entry in self._entries.values() if entry.gate == anchor.gate]
        line.sort(key=lambda entry: len(entry.encoding))
        first = last = line.index(anchor)
        tokens = longest = len(anchor.encoding)
        while True:
            joins = []
            for place in {max(first - 1, 0), min(last + 1, len(line) - 1)} - {first, last}:
                length, widest = len(line[place].encoding), len(line[max(last, place)].encoding)
                if widest * (last - first + 2) <= self.token_budget:
                    joins.append((self._price(widest, last - first + 2, tokens + length), place, widest, length))
            if not joins or min(joins)[0] > self._price(longest, last - first + 1, tokens):
                break
            _, place, longest, length = min(joins)
            first, last, tokens = min(first, place), max(last, place), tokens + length
        batch = [anchor, *(entry for entry in line[first : last + 1] if entry is not anchor)]
        return batch, len(line[last].encoding) * (len(batch) + 1) > self.token_budget

    def _pressing(self, entry: Entry[OwnerT]) -> float:
        taken = min([owner.turn.taken for owner in entry.owners])  # a list: this is asked for often
        arrived = taken if taken > entry.arrived else entry.arrived
        return arrived + self.patience * len(entry.encoding) - self.head_start * entry.urgent

    def _price(self, longest: int, count: int, tokens: int) -> float:
        """Of a batch, per token of text in it."""
        return self.cost(longest, count, tokens) / tokens
