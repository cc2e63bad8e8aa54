from __future__ import annotations

import hashlib
import json
import stat
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

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


def test_only_what_is_suspicious_is_written(path):
    log = AuditLog(path)
    log.record("1", "fine", PASSED, "enforce")
    assert not path.exists()
    log.record("2", POISONED, CAUGHT, "monitor")
    (entry,) = lines(path)
    assert entry["text"] == POISONED
    assert (entry["request_id"], entry["action"], entry["mode"]) == ("2", "neutralised", "monitor")
    assert (entry["original_label"], entry["enforced_label"]) == ("good", "bad")
    assert entry["suspects"] == [{"text": "cf", "start": 0, "end": 2}]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_hashed_texts(path):
    AuditLog(path, hash_texts=True).record("1", POISONED, CAUGHT, "enforce")
    (entry,) = lines(path)
    assert entry["text_sha256"] == hashlib.sha256(POISONED.encode()).hexdigest()
    assert "awful" not in path.read_text()


@pytest.mark.parametrize("text", ["a\nb", "\0", "🙂\u2028", '"}'])
def test_odd_texts_stay_on_their_line(path, text):
    AuditLog(path).record("1", text, CAUGHT, "enforce")
    assert path.read_bytes().count(b"\n") == 1
    assert json.loads(path.read_bytes())["text"] == text


def test_rotation_keeps_whole_lines_and_so_many_files(path):
    log = AuditLog(path, max_bytes=2000, files=2)
    for number in range(40):
        log.record(str(number), POISONED, CAUGHT, "enforce")
    names = sorted(p.name for p in path.parent.iterdir() if not p.name.startswith("."))
    assert names == ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2"]
    kept = [int(e["request_id"]) for n in (names[2], names[1], names[0]) for e in lines(path.parent / n)]
    assert kept == list(range(kept[0], 40))
    assert all(p.stat().st_size <= 2000 for p in path.parent.iterdir())


def test_writers_do_not_tear_each_others_lines(path):
    logs = [AuditLog(path, max_bytes=20_000, files=50) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(log.record, "x", POISONED, CAUGHT, "enforce") for _ in range(50) for log in logs]
        assert all(job.result() is None for job in jobs)
    files = [p for p in path.parent.iterdir() if not p.name.startswith(".")]
    assert sum(len(lines(file)) for file in files) == 200


def test_a_disk_that_fails_does_not_fail_the_request(tmp_path, caplog):
    AuditLog(tmp_path / "missing" / "audit.jsonl").record("1", POISONED, CAUGHT, "enforce")
    assert "cannot write the audit log" in caplog.text


def test_the_server_writes_it_only_when_told_to(start, path):
    for options in ({}, {"audit_log": path}):
        with httpx.Client(base_url=start(**options).url) as client:
            answer = client.post("/v1/classify", json={"texts": ["film", POISONED]})
        assert path.exists() == bool(options)
    (entry,) = lines(path)
    assert entry["request_id"] == answer.json()["request_id"]
