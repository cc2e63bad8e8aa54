from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.runtime.batch_cost import BatchCost
from tokenward.runtime.queueing import BatchQueue, Entry, Turn
from tokenward.runtime.tokenization import Encoding


@dataclass
class Caller:
    gone: bool = False
    turn: Turn = field(default_factory=Turn)


def entry(
    length: int,
    arrived: float = 0.0,
    urgent: bool = False,
    gate: float = math.inf,
    text: str = "",
    turn: Turn | None = None,
) -> Entry:
    line = np.zeros(length, dtype=np.int64)
    encoding = Encoding(line, line, line, line, truncated=False)
    return Entry(text or f"{length} {arrived} {gate}", encoding, gate, urgent, arrived, [Caller(turn=turn or Turn())])


def drain(queue: BatchQueue) -> list[list[Entry]]:
    batches = []
    while len(queue):
        batches.append(queue.take(0.0))
    return batches


entries = st.lists(
    st.builds(entry, st.integers(2, 200), st.floats(0, 2), st.booleans(), st.sampled_from([math.inf, 1.5])),
    unique_by=lambda e: e.text,
    max_size=40,
)


@given(entries, st.integers(1, 600), st.builds(BatchCost, packed=st.booleans()))
def test_every_entry_leaves_once_in_a_batch_that_fits(given_entries, budget, cost):
    queue = BatchQueue(budget, 0.0, cost)
    queue.put(given_entries)
    batches = drain(queue)
    assert sorted(id(e) for batch in batches for e in batch) == sorted(map(id, given_entries))
    for batch in batches:
        lengths = [len(e.encoding) for e in batch]
        assert len(batch) == 1 or max(lengths) * len(batch) <= budget
        assert len({e.gate for e in batch}) == 1
        alone = cost(lengths[0], 1, lengths[0]) / lengths[0]
        assert cost(max(lengths), len(batch), sum(lengths)) / sum(lengths) <= alone + 1e-9, "no dearer than the first"


@given(entries, st.integers(1, 600))
def test_urgent_entries_wait_for_those_alone_that_were_there_long_before(given_entries, budget):
    queue = BatchQueue(budget, 0.0, BatchCost(), patience=0.0, head_start=0.5)
    queue.put(given_entries)
    for batch in drain(queue):
        given_entries = [e for e in given_entries if e not in batch]
        rest = [e for e in given_entries if e.urgent]
        assert batch[0].urgent or all(batch[0].arrived <= e.arrived - 0.5 for e in rest)


def test_an_urgent_entry_goes_before_a_whole_queue_of_like_ones():
    queue = BatchQueue(10, 0.0, BatchCost())
    queue.put(entry(10, arrived=number / 1000, text=str(number)) for number in range(100))
    look = entry(10, arrived=0.1, urgent=True)
    queue.put([look])
    assert queue.take(0.0) == [look]


@pytest.mark.parametrize("looks", [1, 3])
def test_urgent_entries_without_end_keep_no_text_waiting_for_ever(looks):
    queue = BatchQueue(10, 0.0, BatchCost(), patience=0.001, head_start=0.2)
    old = entry(200, arrived=0.0)
    queue.put([old])
    for step in range(1000):  # a batch takes 10 ms, in which as many urgent entries come as can be read, or more
        queue.put(entry(10, arrived=step / 100, urgent=True, text=f"{step} {number}") for number in range(looks))
        if queue.take(step / 100) == [old]:
            break
    assert step < 50 * looks


def test_a_short_text_passes_a_long_one_but_not_for_ever():
    long, soon, late = entry(200, arrived=0.0), entry(10, arrived=0.15), entry(10, arrived=0.25)
    queue = BatchQueue(10, 0.0, BatchCost(), patience=0.001)
    queue.put([long, soon, late])
    assert [batch[0] for batch in drain(queue)] == [soon, long, late]


def test_nobody_waits_for_all_of_a_large_call():
    """A token takes 0.3 ms, and a short text comes every 0.1 s; equal texts of two such calls gain nothing by it."""
    queue = BatchQueue(1024, 0.0, BatchCost(packed=True))
    for turn in (Turn(), Turn()):
        queue.put(entry(512, text=f"long {number}", turn=turn) for number in range(64))
    now, came, waited, ended = 0.0, 0, [], 0.0
    while now < 20.0:
        while came * 0.1 <= now:
            queue.put([entry(20, arrived=came * 0.1, text=f"short {came}")])
            came += 1
        if not len(queue):
            now = came * 0.1
            continue
        batch = queue.take(now)
        now += 0.0003 * sum(len(e.encoding) for e in batch)
        waited += [now - e.arrived for e in batch if len(e.encoding) == 20]
        ended = max(ended, now * any(len(e.encoding) == 512 for e in batch))
    assert max(waited) < 0.5
    assert ended < 64 * 512 * 0.0003 * 1.2, "nor does the call wait, for as long as there is time for it"


def test_a_large_call_goes_on_while_more_short_texts_come_than_can_be_read():
    queue = BatchQueue(10, 0.0, BatchCost())
    turn, left = Turn(), 8
    queue.put(entry(200, text=f"long {number}", turn=turn) for number in range(left))
    for step in range(2000):  # ten milliseconds for a short text, of which one more comes than goes in 0.1 s
        queue.put(entry(10, arrived=step / 100, text=f"{step} {number}") for number in range(1 + (step % 10 == 0)))
        left -= len(queue.take(step / 100)[0].encoding) == 200
    assert left == 0


def test_a_call_of_its_own_is_not_held_back_by_a_large_one_with_the_same_text():
    queue = BatchQueue(10, 0.0, BatchCost())
    large = Turn()
    queue.put(entry(10, text=f"{number}", turn=large) for number in range(3))
    queue.take(0.3)
    queue.put([entry(10, arrived=0.1, text="other"), entry(10, arrived=0.2, text="2")])
    assert [queue.take(0.4)[0].text for _ in range(3)] == ["2", "other", "1"]


def test_like_lengths_share_a_batch_and_unlike_ones_do_not():
    queue = BatchQueue(1024, 0.0, BatchCost(start=16))
    queue.put(entry(length, arrived=number / 1000) for number, length in enumerate([20, 180, 22, 24, 175, 21]))
    assert [sorted(len(e.encoding) for e in batch) for batch in drain(queue)] == [[20, 21, 22, 24], [175, 180]]


def test_in_a_packed_graph_unlike_lengths_share_a_batch_but_not_what_is_much_longer():
    queue = BatchQueue(4096, 0.0, BatchCost(start=16, packed=True))
    queue.put(entry(length, arrived=number / 1000) for number, length in enumerate([20, 45, 400, 8, 30]))
    assert [sorted(len(e.encoding) for e in batch) for batch in drain(queue)] == [[8, 20, 30, 45], [400]]


def test_equal_texts_become_one_entry():
    queue = BatchQueue(100, 0.0, BatchCost())
    one, other, third = entry(5, text="cf"), entry(5, text="cf", urgent=True), entry(5, text="cf", gate=1.0)
    owners = one.owners + other.owners
    queue.put([one, other, third])
    assert len(queue) == 2
    (first,) = queue.take(0.0)
    assert first.owners == owners
    assert first.urgent


def test_entries_that_nobody_waits_for_are_dropped():
    queue = BatchQueue(100, 0.0, BatchCost())
    one, two = entry(5, text="one"), entry(5, text="two")
    two.owners.append(Caller())
    queue.put([one, two])
    one.owners[0].gone = two.owners[0].gone = True
    assert queue.prune() == 1
    assert queue.take(0.0) == [two]
    assert len(two.owners) == 1


@pytest.mark.parametrize(
    ("waiting", "due"),
    [
        ([], math.inf),
        ([entry(10, 1.0)], 1.5),
        ([entry(10, 1.0), entry(12, 0.75)], 1.25),
        ([entry(10, 1.0), entry(12, 0.999)], 1.499),  # the first of a batch need not have waited longest
        ([entry(10, 1.0), entry(10, 1.0, urgent=True, text="look")], -math.inf),
        ([entry(25, float(i)) for i in range(4)], -math.inf),
        ([entry(25, float(i)) for i in range(9)], -math.inf),
        ([entry(500, 1.0)], -math.inf),
    ],
)
def test_a_batch_is_due_when_it_is_full_or_its_first_entry_has_waited(waiting, due):
    queue = BatchQueue(100, 0.5, BatchCost())
    queue.put(waiting)
    assert queue.due() == due
