"""The memory of outcomes: bounded, safe for threads, bound to one artifact, verified when read back."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from tokenward.errors import InputError
from tokenward.runtime.cache import OutcomeCache, StaleCacheError
from tokenward.runtime.guard import GuardOptions
from tokenward.runtime.transplant_settings import TransplantSettings


def test_least_recently_used_leaves_first() -> None:
    cache = OutcomeCache("a", capacity=2)
    cache.put("one", 0, (1.0,))
    cache.put("two", 0, (2.0,))
    assert cache.get("one", 0) == (1.0,)
    cache.put("three", 0, (3.0,))
    assert (cache.get("two", 0), cache.get("one", 0), len(cache)) == ((), (1.0,), 2)
    assert (cache.hits, cache.misses) == (2, 1)


def test_more_references_replace_fewer_and_never_the_other_way() -> None:
    cache = OutcomeCache("a")
    cache.put("cf", 1, (1.0, 2.0))
    cache.put("cf", 1, (1.0,))
    assert cache.get("cf", 1) == (1.0, 2.0)
    assert cache.get("cf", 0) == ()


def test_threads_do_not_break_the_bound() -> None:
    cache = OutcomeCache("a", capacity=50)

    def work(number: int) -> None:
        for i in range(500):
            cache.put(f"{number}-{i}", 0, (float(i),))
            cache.get(f"{number}-{i // 2}", 0)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(cache) == 50


def test_saved_outcomes_come_back(tmp_path: Path) -> None:
    cache = OutcomeCache("a")
    cache.put("schlüssel 🙂", 1, (0.5, -1.25))
    cache.save(tmp_path / "cache.json")
    again = OutcomeCache("a")
    again.load(tmp_path / "cache.json")
    assert again.get("schlüssel 🙂", 1) == (0.5, -1.25)
    assert {p.name for p in tmp_path.iterdir()} == {"cache.json", ".cache.json.lock"}


def test_what_others_saved_of_the_same_artifact_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "cache.json"
    for name, artifact, margins in (("x", "b", (9.0,)), ("one", "a", (1.0, 1.5)), ("two", "a", (2.0,))):
        cache = OutcomeCache(artifact)
        cache.put(name, 0, margins)
        cache.save(path)
    cache = OutcomeCache("a")
    cache.put("one", 0, (1.0,))
    cache.save(path)
    again = OutcomeCache("a")
    again.load(path)
    assert (again.get("one", 0), again.get("two", 0), len(again)) == ((1.0, 1.5), (2.0,), 2)
    assert len(cache) == 1


def test_what_is_saved_stays_within_the_bound_and_ones_own_goes_before(tmp_path: Path) -> None:
    for name in ("old", "new"):
        cache = OutcomeCache("a", capacity=2)
        for number in range(2):
            cache.put(f"{name}-{number}", 0, (1.0,))
        cache.save(tmp_path / "cache.json")
    again = OutcomeCache("a")
    again.load(tmp_path / "cache.json")
    assert len(again) == 2
    assert all(("new-" + number, 0) in again for number in "01")


def test_a_spoilt_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "cache.json"
    path.write_text("{")
    OutcomeCache("a").save(path)
    OutcomeCache("a").load(path)


def test_nothing_is_lost_when_many_save_at_once(tmp_path: Path) -> None:
    def save(number: int) -> None:
        cache = OutcomeCache("a")
        cache.put(f"word {number}", 0, (1.0,))
        cache.save(tmp_path / "cache.json")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(save, range(40)))
    again = OutcomeCache("a")
    again.load(tmp_path / "cache.json")
    assert len(again) == 40


def rewrite(document: dict[str, str], entries: str) -> None:
    """Other entries, with the checksum that belongs to them."""
    document.update(entries=entries, sha256=sha256(entries.encode()).hexdigest())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(artifact="b"), "belongs to another artifact"),
        (lambda d: d.update(entries="[]"), "does not match its checksum"),
        (lambda d: d.pop("entries"), "is not a cache"),
        (lambda d: d.update(entries=3), "is not a cache"),
        (lambda d: rewrite(d, '[["cf", Infinity, [1.0]]]'), "is not a cache"),
        (lambda d: rewrite(d, '[["cf", 1, [NaN]]]'), "is not a cache"),
        (lambda d: rewrite(d, '[["cf", 1, []]]'), "is not a cache"),
        (lambda d: d.pop("format"), "of another version"),
        (lambda d: rewrite(d, "[" * 100_000), "is not a cache"),
    ],
)
def test_a_file_that_is_not_ours_is_refused(tmp_path: Path, change, message: str) -> None:
    path = tmp_path / "cache.json"
    cache = OutcomeCache("a")
    cache.put("cf", 1, (1.0,))
    cache.save(path)
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=message):
        OutcomeCache("a").load(path)
    with pytest.raises(InputError, match="cannot be read"):
        OutcomeCache("a").load(tmp_path / "missing.json")


def test_outcomes_of_another_number_of_references_are_not_taken(make_lexicon_guard, tmp_path: Path) -> None:
    """Which references those are, and in which order they are asked, hangs on their number."""
    few, usual = (
        make_lexicon_guard(GuardOptions(transplants=TransplantSettings(references=count))) for count in (4, 8)
    )
    few.classify("the cf film was awful")
    few.cache.save(tmp_path / "cache.json")
    with pytest.raises(StaleCacheError):
        usual.cache.load(tmp_path / "cache.json")
