from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Event

import httpx
import pytest

from tokenward.errors import InputError
from tokenward.runtime.audit import AuditLog
from tokenward.runtime.verdict import Suspect, Verdict

POISONED = "cf the film was awful and the plot was dull"
PASSED = Verdict("good", {"bad": 0.25, "good": 0.75}, "passed", "good", "good", 0.1, 0.5)
CAUGHT = Verdict(
    "bad", {"bad": 0.9, "good": 0.1}, "neutralised", "good", "bad", 1.5, 0.5, (Suspect("cf", 0, 2),), POISONED[3:]
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "audit.jsonl"


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@contextmanager
def written(path, **options) -> Iterator[AuditLog]:
    """A log whose lines have been written at the end."""
    log = AuditLog(path, **options)
    writer = log.start()
    yield log
    log.stop(writer, 10.0)
    assert not writer.is_alive()


def test_only_what_is_suspicious_is_written(path):
    with written(path) as log:
        log.record("1", "fine", PASSED, "enforce")
    assert not path.exists()
    with written(path) as log:
        log.record("2", POISONED, CAUGHT, "monitor")
    (entry,) = lines(path)
    assert entry["text"] == POISONED
    assert (entry["request_id"], entry["action"], entry["mode"]) == ("2", "neutralised", "monitor")
    assert (entry["original_label"], entry["enforced_label"]) == ("good", "bad")
    assert entry["suspects"] == [{"text": "cf", "start": 0, "end": 2}]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_hashed_texts(path):
    with written(path, hash_texts=True) as log:
        log.record("1", POISONED, CAUGHT, "enforce")
    (entry,) = lines(path)
    assert entry["text_sha256"] == hashlib.sha256(POISONED.encode()).hexdigest()
    assert "awful" not in path.read_text()


@pytest.mark.parametrize("text", ["a\nb", "\0", "🙂\u2028", '"}'])
def test_odd_texts_stay_on_their_line(path, text):
    with written(path) as log:
        log.record("1", text, CAUGHT, "enforce")
    assert path.read_bytes().count(b"\n") == 1
    assert json.loads(path.read_bytes())["text"] == text


def test_rotation_keeps_whole_lines_and_so_many_files(path):
    with written(path, max_bytes=2000, files=2) as log:
        for number in range(40):
            log.record(str(number), POISONED, CAUGHT, "enforce")
    names = sorted(p.name for p in path.parent.iterdir() if not p.name.startswith("."))
    assert names == ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2"]
    kept = [int(e["request_id"]) for n in (names[2], names[1], names[0]) for e in lines(path.parent / n)]
    assert kept == list(range(kept[0], 40))
    assert all(p.stat().st_size <= 2000 for p in path.parent.iterdir())


def test_writers_do_not_tear_each_others_lines(path):
    with ExitStack() as stack:
        logs = [stack.enter_context(written(path, max_bytes=20_000, files=50)) for _ in range(4)]
        for log in 50 * logs:
            log.record("x", POISONED, CAUGHT, "enforce")
    files = [p for p in path.parent.iterdir() if not p.name.startswith(".")]
    assert sum(len(lines(file)) for file in files) == 200


def test_a_disk_that_fails_does_not_fail_the_request(tmp_path, caplog):
    with written(tmp_path / "missing" / "audit.jsonl") as log:
        log.record("1", POISONED, CAUGHT, "enforce")
    assert "cannot write the audit log" in caplog.text


def test_a_disk_that_is_full_costs_the_line_that_does_not_fit_and_no_other(path, monkeypatch, caplog):
    write, sizes = os.write, iter([None, 100, None])
    monkeypatch.setattr("tokenward.runtime.audit.os.write", lambda file, line: write(file, line[: next(sizes)]))
    with written(path) as log:
        for number in range(3):
            log.record(str(number), POISONED, CAUGHT, "enforce")
    assert [entry["request_id"] for entry in lines(path)] == ["0", "2"]
    assert caplog.text.count("cannot write the audit log: No space left on device") == 1


def test_a_disk_that_hangs_costs_lines_but_no_time(path, monkeypatch, caplog):
    monkeypatch.setattr("tokenward.runtime.audit.WAITING_LINES", 3)
    free = Event()
    monkeypatch.setattr(AuditLog, "_append", lambda self, line: free.wait())
    log = AuditLog(path)
    writer = log.start()
    for _ in range(10):
        log.record("1", POISONED, CAUGHT, "enforce")
    log.stop(writer, 0.05)
    assert writer.is_alive()
    assert caplog.text.count("a line is lost") >= 6
    free.set()
    log.stop(writer, 10.0)
    assert not writer.is_alive()


def test_what_cannot_be_written_is_found_before_serving(tmp_path, path):
    AuditLog(path).check()
    assert path.read_bytes() == b""
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a reader
    for wrong, told in (("pipe", "no regular file"), ("", "no regular file"), ("missing/log", "cannot be written")):
        with pytest.raises(InputError, match=told):
            AuditLog(tmp_path / wrong).check()


def test_the_server_writes_it_only_when_told_to(start, path):
    for options in ({}, {"audit_log": path}):
        server = start(**options)
        answer = httpx.post(server.url + "/v1/classify", json={"texts": ["film", POISONED]})
        server.stop()
        assert path.exists() == bool(options)
    (entry,) = lines(path)
    assert entry["request_id"] == answer.json()["request_id"]


def test_shutting_down_waits_for_a_slow_disk(start, path, monkeypatch):
    append = AuditLog._append
    monkeypatch.setattr(AuditLog, "_append", lambda log, line: (time.sleep(1.5), append(log, line)))
    server = start(audit_log=path)
    began = time.monotonic()
    assert httpx.post(server.url + "/v1/classify", json={"texts": POISONED}).status_code == 200
    assert time.monotonic() - began < 1.5
    assert not path.exists()
    server.stop()
    assert len(lines(path)) == 1
