"""Records to JSON and back: equal, or an error that names the field."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.artifact import GuardFile
from tokenward.errors import ArtifactError
from tokenward.records import from_json, to_json

from .conftest import guard_file


@dataclass(frozen=True)
class Inner:
    kind: Literal["a", "b"]
    numbers: tuple[float, ...] = ()


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner
    table: dict[str, Inner]
    maybe: int | None = None
    anything: Any = None


inners = st.builds(Inner, st.sampled_from(["a", "b"]), st.lists(st.floats(allow_nan=False)).map(tuple))
outers = st.builds(
    Outer, st.text(), inners, st.dictionaries(st.text(), inners), st.none() | st.integers(), st.none() | st.booleans()
)


@given(outers)
def test_round_trip(record: Outer) -> None:
    assert from_json(Outer, json.loads(json.dumps(to_json(record))), "record") == record


@pytest.mark.parametrize("calibrated", [True, False])
def test_guard_file_round_trip(calibrated: bool) -> None:
    guard = guard_file(calibrated)
    assert from_json(GuardFile, json.loads(json.dumps(to_json(guard))), "guard.json") == guard


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 3}, "x.name is 3, expected str"),
        ({"name": None}, "x.name is None, expected str"),
        ({"maybe": True}, "x.maybe is True, expected int"),
        ({"maybe": "3"}, "x.maybe is '3', expected int"),
        ({"inner": []}, "x.inner is [], expected an object"),
        ({"inner": {}}, "x.inner.kind is missing"),
        ({"inner": {"kind": "c"}}, "x.inner.kind is 'c', expected one of 'a', 'b'"),
        ({"inner": {"kind": "a", "more": 1}}, "x.inner.more is not a known field"),
        ({"inner": {"kind": "a", "numbers": [1, "2"]}}, "x.inner.numbers[1] is '2', expected float"),
        ({"table": {"key": 1}}, "x.table.key is 1, expected an object"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], message: str) -> None:
    data = {"name": "n", "inner": {"kind": "a"}, "table": {}, **change}
    with pytest.raises(ArtifactError) as caught:
        from_json(Outer, data, "x")
    assert str(caught.value) == message


def test_whole_numbers_are_read_as_floats_where_floats_belong() -> None:
    assert from_json(Inner, {"kind": "a", "numbers": [1]}, "x").numbers == (1.0,)
