"""Warming up: the largest batches there can be are run before the first text.

An engine takes memory as batches grow and keeps it. What it will need under load it takes now, so that a machine too
small for it is found out at the start, and memory stays as it is from then on.
"""

from __future__ import annotations

import asyncio
from functools import partial

import numpy as np

from .engine import ALWAYS_SKIP, NEVER_SKIP, Batch
from .guard import Guard
from .refusals import DeadlineError
from .stages import Stage


async def warm_up(guard: Guard, core: Stage, batches: int, seconds: float) -> None:
    """Run so many of the largest batches at the same time, on the threads of ``core``.

    Raises:
        EngineError: the engine failed.
        DeadlineError: it took longer than ``seconds``.
    """
    batch, gate = _largest(guard)
    job = partial(guard.reader.engine.run, batch, gate)
    try:
        await asyncio.wait_for(asyncio.gather(*(core.run(job) for _ in range(batches))), seconds)
    except asyncio.TimeoutError as error:
        message = f"the model did not read one batch within {seconds:g} seconds: give it more threads or fewer tokens"
        raise DeadlineError(message) from error


def _largest(guard: Guard) -> tuple[Batch, float]:
    """A batch that uses the whole token budget with texts as long as the model reads, and the gate it is run with."""
    reader, judge = guard.reader, guard.judge
    longest = min(reader.tokenizer.max_tokens, reader.token_budget)
    ids = np.full((reader.token_budget // longest, longest), reader.tokenizer.pad_id, dtype=np.int64)
    scored = judge is not None and judge.gate_value("enforce", explain=False) != ALWAYS_SKIP
    return Batch(ids, np.ones_like(ids)), NEVER_SKIP if scored else ALWAYS_SKIP
