from __future__ import annotations

import asyncio
from collections import Counter
from threading import Event

import pytest

from tokenward.errors import InputError
from tokenward.runtime.batching import AsyncGuard, BatchingOptions

OPTIONS = BatchingOptions(max_wait=0.0, deadline=30.0)
LONG = "film " * 4000  # the longest that the server takes
LARGE = [f"{LONG[:-4]}{number:04}" for number in range(24)]


class Slow:
    """The tokenizer as its stage sees it: held back until ``free``, and told of every round."""

    def __init__(self, guard, monkeypatch) -> None:
        self.rounds: list[list[str]] = []
        self.free, self.entered = Event(), Event()
        tokenizer, encode = guard.reader.tokenizer, guard.reader.tokenizer.encode

        def wait(texts):
            self.rounds.append(list(texts))
            self.entered.set()
            self.free.wait()
            return encode(texts)

        monkeypatch.setattr(tokenizer, "encode", wait)

    async def busy(self) -> None:
        await asyncio.to_thread(self.entered.wait)


@pytest.fixture
async def slow(lexicon_guard, monkeypatch):
    async with AsyncGuard(lexicon_guard, OPTIONS) as guard:
        slow = Slow(lexicon_guard, monkeypatch)
        yield guard, slow
        slow.free.set()


async def test_a_large_call_is_tokenised_in_parts_and_a_short_one_goes_between(slow):
    guard, tokenizer = slow
    large = [asyncio.create_task(guard.classify(LARGE, "off")) for _ in range(3)]
    await tokenizer.busy()
    short = asyncio.create_task(guard.classify("story", "off"))
    await asyncio.sleep(0)
    tokenizer.free.set()
    assert len(await short) == 1
    assert not any(call.done() for call in large)
    assert [len(verdicts) for verdicts in await asyncio.gather(*large)] == [24] * 3
    assert max(sum(map(len, texts)) for texts in tokenizer.rounds) <= 32_768 + len(LONG)
    assert next(number for number, texts in enumerate(tokenizer.rounds) if "story" in texts) <= 3
    assert Counter(text for texts in tokenizer.rounds for text in texts if text in LARGE) == dict.fromkeys(LARGE, 3)


async def test_what_nobody_waits_for_is_tokenised_no_further(slow):
    guard, tokenizer = slow
    large = asyncio.create_task(guard.classify(LARGE, "off"))
    await tokenizer.busy()
    assert guard.waiting == 24
    large.cancel()
    await asyncio.gather(large, return_exceptions=True)
    tokenizer.free.set()
    assert len(await guard.classify("story", "off")) == 1
    assert sum(text in LARGE for texts in tokenizer.rounds for text in texts) <= 2
    assert guard.waiting == 0


async def test_an_error_names_a_text_by_its_number_in_the_call(lexicon_guard):
    async with AsyncGuard(lexicon_guard, OPTIONS) as guard:
        with pytest.raises(InputError, match="text 5 is not valid Unicode"):
            await guard.classify([*LARGE[:5], "\ud800", *LARGE[6:9]], "off")
        with pytest.raises(InputError, match="text 3 is int, expected a string"):
            await guard.classify([*LARGE[:3], 3], "off")
        with pytest.raises(InputError, match="text 0 is longer than the 64 tokens"):
            await guard.classify(LARGE[:5], "off", truncate=False)
        assert guard.waiting == 0
