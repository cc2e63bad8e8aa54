from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tokenward.runtime.heavy_hitters import HeavyHitters


@given(st.lists(st.sampled_from("abcdefghij")), st.integers(1, 12))
def test_counts_are_bounded_from_both_sides_and_memory_is_bounded(stream, capacity):
    hitters = HeavyHitters(capacity)
    for item in stream:
        hitters.add(item)
    exact = Counter(stream)
    top = hitters.top(capacity + 5)
    assert len(top) <= capacity
    for item, count in top:
        assert exact[item] <= count <= exact[item] + len(stream) / capacity
    kept = {item for item, _ in top}
    assert all(item in kept for item, count in exact.items() if count > len(stream) / capacity)


def test_a_flood_of_new_words_does_not_hide_the_trigger():
    hitters = HeavyHitters(100)
    for number in range(20_000):
        hitters.add(f"garbage{number}")
        if number % 10 == 0:
            hitters.add("cf")
    assert hitters.top(1)[0][0] == "cf"
