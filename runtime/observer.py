"""What the asynchronous engine tells about its work, for metrics or whoever wants to know."""

from __future__ import annotations

from dataclasses import dataclass

from .reading import Reading
from .refusals import Loss
from .verdict import Mode, Verdict


@dataclass(frozen=True, slots=True)
class Timing:
    """Where a request's time went, in seconds; each stage is that of the request's slowest text.

    Attributes:
        tokenise: from acceptance to the queue.
        queue: waiting for a batch.
        first_pass: the model on the batch.
        second_pass: from the first reading to the verdict, for texts that needed a second look; else 0.
        total: all of it.
    """

    tokenise: float = 0.0
    queue: float = 0.0
    first_pass: float = 0.0
    second_pass: float = 0.0
    total: float = 0.0


class Observer:
    """Hears of everything, on the event loop's thread; does nothing by itself. Must not raise and not block."""

    def waiting(self, texts: int) -> None:
        """So many texts wait for the model now."""

    def batch_done(self, texts: int, tokens: int, padded: int, second: int) -> None:
        """A batch has run: its texts, their tokens, the tokens after padding, how many of them were second looks."""

    def judged(self, first: Reading, verdict: Verdict, mode: Mode) -> None:
        """A text of a request that is answered now has this verdict."""

    def answered(self, timing: Timing) -> None:
        """A request has been answered."""

    def lost(self, texts: int, why: Loss) -> None:
        """A request of so many texts has ended without an answer."""
