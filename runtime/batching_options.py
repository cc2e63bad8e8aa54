"""How concurrent callers share one engine."""

from __future__ import annotations

from dataclasses import dataclass

from .cores import usable_cores


@dataclass(frozen=True)
class BatchingOptions:
    """How callers share the engine (the token budget of a batch is in :class:`GuardOptions`).

    Attributes:
        max_wait: seconds that a text may wait for batch mates while the engine is idle.
        queue_texts: texts that may wait, second looks at them not counted; callers beyond that are refused.
        deadline: seconds after which a call gets :class:`DeadlineError`.
        parallel: batches that run at the same time, each with its share of the cores. Two small batches on a core
            each are done sooner than one after the other on both: no thread waits for another at every operator, least
            of all where the HTTP server needs some of a core as well.
    """

    max_wait: float = 0.002
    queue_texts: int = 256
    deadline: float = 20.0
    parallel: int = 2

    def threads(self) -> int:
        """Threads of one batch: this process's cores, divided among the batches."""
        return max(1, usable_cores() // self.parallel)
