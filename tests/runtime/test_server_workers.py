"""Workers that are slow, die, or cannot start."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from uvicorn import Config

from tokenward.runtime.server_workers import Workers

# What each worker imports as well, being started anew from this file; the process that starts them is not concerned.
ONLY_WORKERS_FAIL = """
from tokenward.runtime import server, settings
from tokenward.errors import InputError
import sys

def fail(settings):
    raise InputError("broken for workers")

if __name__ == "__main__":
    server.serve(settings.load_settings(sys.argv[1:]))
else:
    settings.ServeSettings.load_guard = fail
"""


@contextmanager
def serving(artifact: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Two workers on a free port, both of them ready; stopped in good order."""
    command = [sys.executable, "-m", "tokenward", "serve", str(artifact), "--port", "0", "--threads", "1"]
    process = subprocess.Popen(
        [*command, "--workers", "2"], stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    try:
        url, started = "", 0
        for line in process.stderr:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                url = found[0]
            started += "Application startup complete" in line
            if started == 2:
                break
        else:
            pytest.fail("the workers did not start")
        yield process, url
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)


def workers(process: subprocess.Popen[str]) -> set[int]:
    """Process ids, in what ran before and in what runs."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return {int(child) for child in children if b"spawn_main" in _command(child)}


def _command(process: str) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:  # it has ended
        return b""


def eventually(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def answers(url: str) -> bool:
    return httpx.post(url + "/v1/classify", json={"texts": "film"}, timeout=120).status_code == 200


@pytest.fixture
def breakable(tiny_artifact: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_artifact, tmp_path / "artifact")


def test_a_worker_that_is_busy_for_long_is_left_alive(tiny_artifact: Path) -> None:
    with serving(tiny_artifact) as (process, url):
        before = workers(process)
        slow = min(before)
        os.kill(slow, signal.SIGSTOP)  # like one that does not let go of the interpreter
        time.sleep(7.0)
        os.kill(slow, signal.SIGCONT)
        assert answers(url)
        assert workers(process) == before


def test_others_serve_while_a_worker_that_cannot_start_is_tried_again(breakable: Path) -> None:
    with serving(breakable) as (process, url):
        dead, alive = workers(process)
        (breakable / "guard.json").rename(breakable / "hidden")
        os.kill(dead, signal.SIGKILL)
        eventually(lambda: bool(tried := workers(process) - {dead, alive}) and _gone(tried))
        assert answers(url)
        assert alive in workers(process)
        (breakable / "hidden").rename(breakable / "guard.json")
        for line in process.stderr:
            if "Application startup complete" in line:
                break
        assert len(workers(process)) == 2
        assert answers(url)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    assert process.returncode == 0


def _gone(tried: set[int]) -> bool:
    eventually(lambda: not any(b"spawn_main" in _command(str(one)) for one in tried))
    return True


def test_where_none_serves_and_none_can_start_the_command_fails(breakable: Path) -> None:
    with serving(breakable) as (process, _):
        (breakable / "guard.json").unlink()
        for worker in workers(process):
            os.kill(worker, signal.SIGKILL)
        assert "no other serves: stopping" in process.communicate(timeout=120)[1]
    assert process.returncode == 3


def test_workers_that_cannot_start_at_first_end_the_command(tiny_artifact: Path, tmp_path: Path) -> None:
    script = tmp_path / "main.py"
    script.write_text(ONLY_WORKERS_FAIL)
    command = [sys.executable, str(script), str(tiny_artifact), "--port", "0", "--workers", "2"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "broken for workers" in ended.stderr
    assert ended.returncode == 3


def test_workers_whose_parent_is_killed_end_too(tiny_artifact: Path) -> None:
    with serving(tiny_artifact) as (process, url):
        left = workers(process)
        process.kill()
        process.wait()
        eventually(lambda: not any(_command(str(worker)) for worker in left), 30.0)
        with pytest.raises(httpx.TransportError):
            httpx.get(url + "/healthz")


def test_workers_are_renewed_one_by_one_and_serve_no_other_artifact(breakable: Path) -> None:
    with serving(breakable) as (process, url):
        first = workers(process)
        model = httpx.post(url + "/v1/classify", json={"texts": "film"}).json()["model"]
        process.send_signal(signal.SIGHUP)
        eventually(lambda: answers(url) and len(now := workers(process)) == 2 and not now & first)
        renewed = workers(process)
        _replace(breakable)
        os.kill(min(renewed), signal.SIGKILL)
        assert any("is another one now" in line for line in process.stderr)
        assert max(renewed) in workers(process)
        assert all(httpx.post(url + "/v1/classify", json={"texts": "film"}).json()["model"] == model for _ in range(8))


def _replace(artifact: Path) -> None:
    """Put another artifact in its place."""
    sums, readme = artifact / "SHA256SUMS", artifact / "README.md"
    before = hashlib.sha256(readme.read_bytes()).hexdigest()
    readme.write_text("another\n")
    sums.write_text(sums.read_text().replace(before, hashlib.sha256(readme.read_bytes()).hexdigest()))


def test_told_to_stop_while_workers_are_renewed_it_stops(tiny_artifact: Path) -> None:
    with serving(tiny_artifact) as (process, _):
        process.send_signal(signal.SIGHUP)
        assert any("is renewed" in line for line in process.stderr)
        process.send_signal(signal.SIGTERM)
        ended = process.communicate(timeout=30)[1]
    assert process.returncode == 0
    assert "is renewed" not in ended


def test_a_worker_is_tried_again_ever_more_rarely() -> None:
    supervisor = Workers(Config("app", workers=2), [])
    waits = []
    for _ in range(6):
        waits.append(supervisor._pause(served=False))
    assert waits == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    assert supervisor._pause(served=True) == 0.0
    assert supervisor._pause(served=False) == 5.0
