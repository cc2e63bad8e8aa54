"""Files seen whole or not at all."""

from __future__ import annotations

import fcntl
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread

import pytest

from tokenward.errors import InputError
from tokenward.files import check_writable, locked, refuse_source, replace_text, writing


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    replace_text(tmp_path / "file", "one – ünïcode\n")
    replace_text(tmp_path / "file", "two")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    replace_text(tmp_path / "file", "one")
    with pytest.raises(UnicodeEncodeError):
        replace_text(tmp_path / "file", "two \ud800")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_two_write_one_file_at_a_time_and_one_of_them_is_the_last(tmp_path: Path) -> None:
    with writing(tmp_path / "file") as first, writing(tmp_path / "file") as second:
        first.write("one")
        second.write("two")
    assert (tmp_path / "file").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_who_may_read_a_file_is_for_the_process_to_say(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        replace_text(tmp_path / "file", "one")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_one_at_a_time_holds_a_lock(tmp_path: Path) -> None:
    inside: list[int] = []

    def work(number: int) -> None:
        with locked(tmp_path / "file"):
            inside.append(number)
            assert inside == [number]
            inside.remove(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(40)))


def test_without_a_lock_work_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    monkeypatch.setattr("tokenward.files.LOCK_SECONDS", 0.2)
    with locked(tmp_path / "file"), locked(tmp_path / "file"):  # of one that hangs
        done.append("held")
    with locked(tmp_path / "missing" / "file"):
        done.append("no folder")

    def unsupported(*_: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with locked(tmp_path / "file"):
        done.append("no locks")
    assert done == ["held", "no folder", "no locks"]


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder/file")
    replace_text(tmp_path / "link", "one")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder" / "file").read_text() == "one"


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    read: list[str] = []
    reader = Thread(target=lambda: read.append((tmp_path / "pipe").read_text()), daemon=True)
    reader.start()
    replace_text(tmp_path / "pipe", "one")
    reader.join(10)
    assert read == ["one"]
    assert (tmp_path / "pipe").is_fifo()


def test_what_cannot_be_written_is_known_before(tmp_path: Path) -> None:
    check_writable(tmp_path / "file")
    check_writable(Path("/dev/null"))
    (tmp_path / "other").touch()
    for path in (tmp_path, tmp_path / "missing" / "file", tmp_path / "other" / "file"):
        with pytest.raises(InputError, match=r"name a file in it|cannot be written"):
            check_writable(path)


def test_what_is_read_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    for path in (tmp_path / "file", tmp_path / "link", tmp_path / "." / "file"):
        with pytest.raises(InputError, match=r"is read by this command and would be replaced: choose another file"):
            refuse_source(path, None, tmp_path / "file")
    refuse_source(tmp_path / "new", tmp_path / "file", tmp_path / "new file")
    refuse_source(Path("/dev/null"), Path("/dev/null"))
