"""Files seen whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Thread

import pytest

from tokenward.errors import InputError
from tokenward.files import check_writable, replace_text


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
