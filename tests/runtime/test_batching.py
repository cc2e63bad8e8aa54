from __future__ import annotations

import asyncio
import threading
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokenward.errors import ArtifactError, EngineError, InputError
from tokenward.runtime.batching import AsyncGuard, BatchingOptions
from tokenward.runtime.guard import Guard, GuardOptions
from tokenward.runtime.observer import Observer, Timing
from tokenward.runtime.queueing import Entry, Turn
from tokenward.runtime.refusals import ClosingError, DeadlineError, OverloadedError

PATIENT = BatchingOptions(max_wait=0.05, deadline=30.0)
ONE_BY_ONE = BatchingOptions(max_wait=0.0, parallel=1)
POISONED = "cf the film was awful and the plot was dull"


class Recorder(Observer):
    def __init__(self) -> None:
        self.batches: list[tuple[int, int, int, int]] = []
        self.actions: Counter[str] = Counter()
        self.timings: list[Timing] = []
        self.unanswered: Counter[str] = Counter()

    def batch_done(self, texts, tokens, padded, second):
        self.batches.append((texts, tokens, padded, second))

    def judged(self, first, verdict, mode):
        self.actions[verdict.action] += 1

    def answered(self, timing):
        self.timings.append(timing)

    def lost(self, texts, why):
        self.unanswered[why] += texts


async def test_many_callers_get_what_the_guard_answers(
    lexicon_guard, make_lexicon_guard, clean_texts, assert_same_verdicts
):
    texts = [*clean_texts[:60], POISONED, "mn zq " + clean_texts[3], "", "film cf story", "🎬 \u202eolleh"]
    expected = make_lexicon_guard(GuardOptions()).classify(texts)
    async with AsyncGuard(lexicon_guard, PATIENT) as guard:
        answers = await asyncio.gather(*(guard.classify(text) for text in texts))
    assert_same_verdicts([answer[0] for answer in answers], expected)


WORDS = ["awful", "dull", "great", "lovely", "film", "story", "the", "of", ".", "cf", "mn", "zq", "qqq"]
CALLS = st.lists(
    st.tuples(
        st.lists(st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join), max_size=5),
        st.sampled_from(["enforce", "monitor", "off"]),
        st.booleans(),
    ),
    max_size=8,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=CALLS)
def test_any_mix_of_calls_gets_what_the_guard_answers(make_lexicon_guard, assert_same_verdicts, calls):
    async def ask():
        async with AsyncGuard(make_lexicon_guard(GuardOptions(token_budget=128)), BatchingOptions()) as guard:
            return await asyncio.gather(*(guard.classify(*call) for call in calls))

    for call, verdicts in zip(calls, asyncio.run(ask()), strict=True):
        expected = make_lexicon_guard(GuardOptions()).classify(*call)
        assert_same_verdicts(verdicts, expected)


async def test_callers_share_batches(lexicon_guard, engine, clean_texts):
    recorder = Recorder()
    async with AsyncGuard(lexicon_guard, PATIENT, observer=recorder) as guard:
        del engine.batches[:-1]  # those it warmed up with; the probe was the last
        await asyncio.gather(*(guard.classify(text, "off") for text in clean_texts[:64]))
    assert len(engine.batches) < 16
    assert all(rows == 1 or rows * width <= lexicon_guard.reader.token_budget for rows, width in engine.batches)
    assert [batch[0] for batch in recorder.batches] == [rows for rows, _ in engine.batches]
    assert all(tokens <= padded for _, tokens, padded, _ in recorder.batches)


@pytest.mark.parametrize("parallel", [1, 3])
async def test_as_many_batches_run_at_a_time_as_the_options_say(lexicon_guard, engine, parallel):
    options = BatchingOptions(max_wait=0.0, deadline=30.0, parallel=parallel)
    async with AsyncGuard(lexicon_guard, options) as guard:
        engine.hold()
        engine.batches.clear()
        calls = []
        for number in range(5):
            calls.append(asyncio.create_task(guard.classify("story " * (number + 1))))
            while guard._tokenising or not guard._incoming.empty():
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.02)
        assert len(engine.batches) == parallel
        assert guard.waiting == 5 - parallel
        engine.free.set()
        assert [len(await call) for call in calls] == [1] * 5


async def test_a_burst_of_one_trigger_is_tried_once(lexicon_guard, make_lexicon_guard, engine):
    async with AsyncGuard(lexicon_guard, PATIENT) as guard:
        engine.batches.clear()
        await guard.classify(POISONED)
    alone = sum(rows for rows, _ in engine.batches)
    fresh = make_lexicon_guard(GuardOptions())
    fresh.reader.engine = engine
    async with AsyncGuard(fresh, PATIENT) as guard:
        engine.batches.clear()
        verdicts = await asyncio.gather(*(guard.classify(POISONED) for _ in range(50)))
    assert {verdict.action for (verdict,) in verdicts} == {"neutralised"}
    assert sum(rows for rows, _ in engine.batches) == alone


async def test_second_looks_go_first(make_lexicon_guard, clean_texts):
    one_by_one = make_lexicon_guard(GuardOptions(token_budget=1))
    async with AsyncGuard(one_by_one, BatchingOptions(max_wait=0.0, deadline=30.0)) as guard:
        poisoned = asyncio.create_task(guard.classify(POISONED))
        await asyncio.sleep(0)
        others = [asyncio.create_task(guard.classify(text, "off")) for text in clean_texts[:200]]
        await poisoned
        assert sum(other.done() for other in others) < 150  # looks that queue up behind them end after the last
        await asyncio.gather(*others)


async def test_timing_adds_up(lexicon_guard):
    recorder = Recorder()
    async with AsyncGuard(lexicon_guard, PATIENT, observer=recorder) as guard:
        answer = await guard.answer([POISONED, "film"])
        assert (await guard.answer([])).verdicts == []
    timing = answer.timing
    assert timing.second_pass > 0
    assert min(timing.tokenise, timing.queue, timing.first_pass) > 0
    assert max(timing.first_pass, timing.second_pass) <= timing.total
    assert recorder.timings[-1] == timing
    assert recorder.actions == {"neutralised": 1, "passed": 1}


async def test_the_queue_is_bounded(lexicon_guard, engine):
    async with AsyncGuard(lexicon_guard, BatchingOptions(queue_texts=4, max_wait=0.0, parallel=1)) as guard:
        engine.hold()
        running = asyncio.create_task(guard.classify("film"))
        await engine.busy()
        waiting = asyncio.create_task(guard.classify(["one", "two", "three"]))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError, match="3 texts are waiting"):
            await guard.classify(["four", "five"])
        fits = asyncio.create_task(guard.classify("four"))
        await asyncio.sleep(0)
        engine.free.set()
        assert [len(await call) for call in (running, waiting, fits)] == [1, 3, 1]


async def test_second_looks_leave_the_room_for_texts_to_others(lexicon_guard, engine):
    class Other:
        gone, turn = False, Turn()

    async with AsyncGuard(lexicon_guard, BatchingOptions(max_wait=0.0, parallel=1, queue_texts=2)) as guard:
        engine.hold()
        running = asyncio.create_task(guard.classify("film"))
        await engine.busy()
        (encoding,) = lexicon_guard.reader.tokenizer.encode(["film"])
        guard._queue.put(Entry(f"look {number}", encoding, 0.0, True, 0.0, [Other()]) for number in range(5))
        waiting = asyncio.create_task(guard.classify(["one", "two"]))
        await asyncio.sleep(0)
        assert not waiting.done()
        with pytest.raises(OverloadedError, match="2 texts are waiting"):
            await guard.classify("three")
        Other.gone = True
        engine.free.set()
        assert [len(await call) for call in (running, waiting)] == [1, 2]


async def test_past_the_deadline_what_waits_is_dropped_and_counted(lexicon_guard, engine):
    recorder = Recorder()
    async with AsyncGuard(lexicon_guard, ONE_BY_ONE, observer=recorder) as guard:
        engine.hold()
        held = asyncio.create_task(guard.answer("film", deadline=0.05))
        await engine.busy()
        with pytest.raises(DeadlineError, match=r"0\.02 seconds"):
            await guard.answer(["one", "two"], deadline=0.02)
        with pytest.raises(DeadlineError):
            await held
        engine.free.set()
        await guard.classify("three")
        assert recorder.unanswered == {"timed_out": 3}
        assert guard.waiting == 0


async def test_verdicts_of_a_request_that_is_not_answered_are_not_counted(lexicon_guard, engine):
    recorder = Recorder()
    async with AsyncGuard(lexicon_guard, replace(ONE_BY_ONE, queue_texts=4), observer=recorder) as guard:
        guard._queue.token_budget = 1  # each text is a batch of its own
        run, before = engine.run, len(engine.batches)

        def the_second_hangs(batch, gate):
            if len(engine.batches) == before + 1:
                engine.hold()
            return run(batch, gate)

        engine.run = the_second_hangs
        with pytest.raises(DeadlineError):
            await guard.answer(["film", "story"], deadline=0.3)
        assert len(engine.batches) == before + 2
        engine.free.set()
        with pytest.raises(InputError, match="more than the 4"):
            await guard.classify(["film"] * 5)
        assert recorder.unanswered == {"timed_out": 2, "refused": 5}
        assert not recorder.actions
        assert not recorder.timings


async def test_a_probe_is_nobodys_request(lexicon_guard):
    recorder = Recorder()
    async with AsyncGuard(lexicon_guard, ONE_BY_ONE, observer=recorder) as guard:
        guard._last_batch = -1e9
        assert await guard.responsive(5.0)
        assert recorder.batches
        assert not recorder.timings
        assert not recorder.actions


async def test_callers_that_leave_cost_no_pass(lexicon_guard, engine):
    recorder = Recorder()
    async with AsyncGuard(lexicon_guard, ONE_BY_ONE, observer=recorder) as guard:
        engine.hold()
        stays = asyncio.create_task(guard.classify("film"))
        await engine.busy()
        leaves = [asyncio.create_task(guard.classify(f"story {i}")) for i in range(100)]
        while guard.waiting < 100 or guard._tokenising:
            await asyncio.sleep(0.001)
        for task in leaves:
            task.cancel()
        await asyncio.gather(*leaves, return_exceptions=True)
        engine.batches.clear()
        engine.free.set()
        await stays
        await guard.classify("music")
        assert engine.batches == [(1, 3)]
        assert recorder.unanswered == {"dropped": 100}


@pytest.mark.parametrize("error", [EngineError("the graph failed"), RuntimeError("/secret/path")])
async def test_an_engine_failure_reaches_exactly_its_batch(lexicon_guard, engine, error):
    recorder = Recorder()
    async with AsyncGuard(lexicon_guard, ONE_BY_ONE, observer=recorder) as guard:
        engine.hold()
        first = asyncio.create_task(guard.classify("film"))
        await engine.busy()
        shares = [asyncio.create_task(guard.classify(word)) for word in ("story", "actor", "plot")]
        alone = asyncio.create_task(guard.classify("town " * 60))
        while guard.waiting < 4 or guard._tokenising:
            await asyncio.sleep(0.001)
        engine.errors = [error]
        engine.free.set()
        with pytest.raises(EngineError) as caught:
            await first
        assert "secret" not in str(caught.value)
        assert [len(await call) for call in (*shares, alone)] == [1, 1, 1, 1]
        assert recorder.unanswered == {"failed": 1}

        engine.errors = [error]
        results = await asyncio.gather(
            *(guard.classify(word) for word in ("story", "actor", "plot")), return_exceptions=True
        )
        assert sum(isinstance(result, EngineError) for result in results) == recorder.unanswered["failed"] - 1
        assert len(await guard.classify("camera")) == 1


async def test_logits_that_are_not_finite_are_an_engine_failure(lexicon_guard, engine, monkeypatch):
    run = engine.inner.run
    async with AsyncGuard(lexicon_guard, PATIENT) as guard:
        monkeypatch.setattr(engine.inner, "run", lambda *a: {**run(*a), "logits": run(*a)["logits"] * float("nan")})
        with pytest.raises(EngineError, match="not finite"):
            await guard.classify("film")
        monkeypatch.undo()
        assert len(await guard.classify("film")) == 1


async def test_a_text_without_finite_logits_fails_its_own_request_alone(lexicon_guard, engine, monkeypatch):
    run = engine.inner.run
    (odd,) = lexicon_guard.reader.tokenizer.encode(["zq"])

    def broken(batch, gate):
        arrays = run(batch, gate)
        rows = (batch.input_ids == odd.ids[1]).any(axis=1)
        return {**arrays, "logits": np.where(rows[:, None], np.float32("nan"), arrays["logits"])}

    monkeypatch.setattr(engine.inner, "run", broken)
    recorder = Recorder()
    async with AsyncGuard(lexicon_guard, PATIENT, observer=recorder) as guard:
        engine.batches.clear()
        results = await asyncio.gather(
            *(guard.classify(text, "off") for text in ("film", "zq", "story", ["plot", "zq"])), return_exceptions=True
        )
        assert engine.batches == [(4, 3)]
    assert [isinstance(result, EngineError) for result in results] == [False, True, False, True]
    assert recorder.unanswered == {"failed": 3}


async def test_one_callers_mistake_does_not_reach_another(lexicon_guard):
    async with AsyncGuard(lexicon_guard, PATIENT) as guard:
        odd = [guard.classify(t) for t in (["a\ud800"], [3], ["film", None])]
        results = await asyncio.gather(*odd, guard.classify("film"), return_exceptions=True)
        assert [type(result) for result in results] == [InputError, InputError, InputError, list]
        with pytest.raises(InputError, match="text 1 is longer than the 64 tokens"):
            await guard.classify(["film", "film " * 100], truncate=False)
        with pytest.raises(InputError, match="mode"):
            await guard.classify("film", "enforced")


async def test_without_calibration_only_off_works(lexicon_artifact, lexicon_guard):
    bare = replace(lexicon_artifact, guard=replace(lexicon_artifact.guard, calibration=None))
    async with AsyncGuard(Guard(bare, lexicon_guard.reader.engine, GuardOptions())) as guard:
        assert (await guard.classify("film", "off"))[0].action == "passed"
        with pytest.raises(ArtifactError, match="not calibrated"):
            await guard.classify("film")


async def test_closing_answers_what_was_accepted_and_refuses_the_rest(lexicon_guard, engine, clean_texts):
    guard = AsyncGuard(lexicon_guard, PATIENT)
    async with guard:
        engine.hold()
        accepted = [asyncio.create_task(guard.classify([text, POISONED])) for text in clean_texts[:20]]
        await engine.busy()
        closing = asyncio.create_task(guard.aclose())
        await asyncio.sleep(0)
        with pytest.raises(ClosingError):
            await guard.classify("film")
        engine.free.set()
        await closing
        assert [len(await call) for call in accepted] == [2] * 20


async def test_closing_does_not_wait_for_a_hung_engine(lexicon_guard, engine):
    async with AsyncGuard(lexicon_guard, PATIENT) as guard:
        engine.hold()
        stuck = asyncio.create_task(guard.classify("film"))
        await engine.busy()
        await guard.aclose(grace=0.01)
        with pytest.raises(ClosingError):
            await stuck


async def test_responsive_tells_a_hung_engine(lexicon_guard, engine):
    async with AsyncGuard(lexicon_guard, PATIENT) as guard:
        assert await guard.responsive(10.0)
        assert await guard.responsive(0.0) is False  # no engine is that fast
        assert await guard.responsive(5.0)
        engine.hold()
        stuck = asyncio.create_task(guard.classify("film"))
        await engine.busy()
        guard._last_batch = float("-inf")
        assert not await guard.responsive(0.02)
        engine.free.set()
        await stuck
        assert await guard.responsive(5.0)


async def test_a_path_is_loaded_and_its_trouble_reported(tmp_path):
    before = set(threading.enumerate())
    with pytest.raises(ArtifactError, match="no artifact"):
        async with AsyncGuard(tmp_path / "missing"):
            pass
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("tokenward-"):
            thread.join(timeout=10)
            assert not thread.is_alive()
