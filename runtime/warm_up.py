"""Warming up: the largest batches there can be are run before the first text.

An engine takes memory as batches grow and keeps it. What it will need under load it takes now, so that a machine too
small for it is found out at the start, and memory stays as it is from then on.
"""

from __future__ import annotations

import asyncio
from functools import partial

import numpy as np

from ..errors import EngineError
from .engine import ALWAYS_SKIP, NEVER_SKIP, Batch
from .guard import Guard
from .refusals import DeadlineError
from .stages import Stage


async def warm_up(guard: Guard, texts: int, core: Stage, batches: int, seconds: float) -> None:
    """Run so many of the largest batches at the same time, on the threads of ``core``.

    Args:
        guard: whose engine is run.
        texts: most that can be in a batch.
        core, batches: where and how many.
        seconds: they may take.

    Raises:
        EngineError: the engine failed.
        DeadlineError: it took longer.
    """
    job = partial(run_largest, guard, texts)
    try:
        await asyncio.wait_for(asyncio.gather(*(core.run(job) for _ in range(batches))), seconds)
    except asyncio.TimeoutError as error:
        message = f"the model did not read one batch within {seconds:g} seconds: give it more threads or fewer tokens"
        raise DeadlineError(message) from error


def run_largest(guard: Guard, texts: int) -> None:
    """Run a batch that uses the whole token budget, with ``texts`` texts at most.

    Raises:
        EngineError: the engine failed.
    """
    batch, gate = _largest(guard, texts)
    try:
        guard.reader.engine.run(batch, gate)
    except EngineError as error:
        rows, longest = batch.input_ids.shape
        raise EngineError(
            f"the largest batch there can be, {rows} × {longest} tokens, failed: give it more memory, or a smaller "
            "token budget; if it fails all the same, 'tokenward inspect' the artifact"
        ) from error


def _largest(guard: Guard, texts: int) -> tuple[Batch, float]:
    """Texts as long as the model reads, one of them whatever the budget, and the gate they are run with."""
    reader, judge = guard.reader, guard.judge
    longest = reader.tokenizer.max_tokens
    rows = min(max(1, reader.token_budget // longest), texts)
    ids = np.full((rows, longest), reader.tokenizer.pad_id, dtype=np.int64)
    scored = judge is not None and judge.gate_value("enforce", explain=False) != ALWAYS_SKIP
    return Batch(ids, np.ones_like(ids)), NEVER_SKIP if scored else ALWAYS_SKIP
