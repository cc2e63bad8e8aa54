"""The shelf: built once, rebuilt when it must be, and nothing of others touched."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from tokenward.errors import InputError
from tokenward.shelf import STAMPS, Shelf


def shelf(folder: Path) -> Shelf:
    return Shelf(folder, Console(quiet=True))


def writes(content: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(content) and None


def must_not_run(path: Path) -> None:
    raise AssertionError(f"{path} was built again")


def test_an_entry_is_built_once_for_one_key(tmp_path: Path) -> None:
    entry = tmp_path / "new" / "entry"
    shelf(tmp_path / "new").ensure(entry, "a", "entry", writes("one"))
    shelf(tmp_path / "new").ensure(entry, "a", "entry", must_not_run)
    assert entry.read_text() == "one"
    shelf(tmp_path / "new").ensure(entry, "b", "entry", writes("two"))
    assert entry.read_text() == "two"
    entry.unlink()
    shelf(tmp_path / "new").ensure(entry, "b", "entry", writes("three"))
    assert entry.read_text() == "three"


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError])
def test_what_was_not_finished_is_built_again(tmp_path: Path, stop: type[BaseException]) -> None:
    def half(path: Path) -> None:
        path.mkdir()
        (path / "half").write_text("x")
        raise stop

    with pytest.raises(stop):
        shelf(tmp_path).ensure(tmp_path / "entry", "a", "entry", half)
    shelf(tmp_path).ensure(tmp_path / "entry", "a", "entry", writes("whole"))
    assert (tmp_path / "entry").read_text() == "whole"


def test_what_was_not_built_here_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "entry").mkdir()
    (tmp_path / "entry" / "precious").write_text("x")
    with pytest.raises(InputError, match="was not built here"):
        shelf(tmp_path).ensure(tmp_path / "entry", "a", "entry", must_not_run)
    assert (tmp_path / "entry" / "precious").read_text() == "x"


@pytest.mark.parametrize("content", ["{", "3", "[1]", '{"a"'])
def test_a_damaged_record(tmp_path: Path, content: str) -> None:
    (tmp_path / STAMPS).write_text(content)
    with pytest.raises(InputError, match="is damaged"):
        shelf(tmp_path)


def test_entries_do_not_disturb_each_other(tmp_path: Path) -> None:
    shelf(tmp_path).ensure(tmp_path / "one", "a", "entry", writes("1"))
    shelf(tmp_path).ensure(tmp_path / "two", "a", "entry", writes("2"))
    shelf(tmp_path).ensure(tmp_path / "one", "b", "entry", writes("3"))
    assert json.loads((tmp_path / STAMPS).read_text()) == {"one": "b", "two": "a"}
    assert (tmp_path / "two").read_text() == "2"
