"""Files seen whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenward.files import replace_text


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
