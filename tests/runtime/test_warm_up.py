from __future__ import annotations

import pytest

from tokenward.errors import EngineError
from tokenward.runtime import warm_up as module
from tokenward.runtime.engine import ALWAYS_SKIP, NEVER_SKIP
from tokenward.runtime.guard import GuardOptions, load
from tokenward.runtime.refusals import DeadlineError
from tokenward.runtime.stages import Stage


@pytest.fixture
def core():
    stage = Stage("core", 2)
    yield stage
    stage.stop()


async def test_the_largest_batches_are_run(lexicon_guard, engine, core):
    await module.warm_up(lexicon_guard, 256, core, 2, seconds=10)
    budget, longest = lexicon_guard.reader.token_budget, lexicon_guard.reader.tokenizer.max_tokens
    assert engine.batches == [(budget // longest, longest)] * 2


@pytest.mark.parametrize(("budget", "texts", "rows"), [(1, 256, 1), (10_000, 4, 4)])
def test_it_is_no_larger_than_can_occur(make_lexicon_guard, budget, texts, rows):
    guard = make_lexicon_guard(GuardOptions(token_budget=budget))
    assert module._largest(guard, texts)[0].input_ids.shape == (rows, guard.reader.tokenizer.max_tokens)


def test_gradients_are_computed_where_first_passes_need_them(tiny_artifact, tiny_paper_artifact):
    assert module._largest(load(tiny_artifact), 256)[1] == ALWAYS_SKIP
    assert module._largest(load(tiny_paper_artifact), 256)[1] == NEVER_SKIP


async def test_an_engine_that_fails_or_hangs_is_told_of(lexicon_guard, engine, core):
    engine.errors.append(EngineError("no memory"))
    with pytest.raises(EngineError, match="the largest batch there can be, 16 × 64 tokens, failed"):
        await module.warm_up(lexicon_guard, 256, core, 1, seconds=10)
    engine.hold()
    with pytest.raises(DeadlineError, match=r"within 0\.1 seconds"):
        await module.warm_up(lexicon_guard, 256, core, 1, seconds=0.1)
