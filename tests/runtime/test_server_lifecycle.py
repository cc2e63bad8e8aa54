"""Clients that vanish, engines that hang, and shutting down under load."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tokenward.runtime.cache import OutcomeCache
from tokenward.runtime.settings import ServeSettings

REQUEST = b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"


def value(url: str, name: str, **labels: str) -> float:
    text = httpx.get(url + "/metrics").text
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_hundred_clients_vanish(start, engine):
    server = start(max_wait_ms=0, parallel=1)
    engine.hold()
    connections = []
    for number in range(101):
        body = b'{"texts": "story %d"}' % number
        connections.append(socket.create_connection(server.address))
        connections[-1].sendall(REQUEST % (len(body), body))
        if number == 0:
            engine.entered.wait()
    eventually(lambda: server.service.engine.waiting == 100 and not server.service.engine._tokenising)
    for connection in connections[1:]:
        connection.close()
    eventually(lambda: value(server.url, "tokenward_requests_total", outcome="client_gone") == 100)
    engine.batches.clear()
    engine.free.set()
    assert connections[0].recv(15).startswith(b"HTTP/1.1 200")
    connections[0].close()
    assert httpx.post(server.url + "/v1/classify", json={"texts": "film"}).status_code == 200
    assert engine.batches == [(1, 3)]
    eventually(lambda: value(server.url, "tokenward_texts_total", outcome="dropped") == 100)


def test_an_engine_that_hangs(start, engine):
    server = start(deadline_seconds=0.2, probe_seconds=0.1, parallel=1)
    assert httpx.get(server.url + "/readyz").status_code == 200
    engine.hold()
    for _ in range(2):
        assert httpx.post(server.url + "/v1/classify", json={"texts": "film"}).status_code == 504
    unready = httpx.get(server.url + "/readyz")
    assert (unready.status_code, unready.text) == (503, "the engine does not answer")
    assert httpx.get(server.url + "/healthz").status_code == 200
    engine.free.set()
    eventually(lambda: httpx.get(server.url + "/readyz").status_code == 200)
    assert httpx.post(server.url + "/v1/classify", json={"texts": "film"}).status_code == 200


@contextmanager
def serving(artifact: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`tokenward serve` in a process of its own, on a free port."""
    command = [sys.executable, "-m", "tokenward", "serve", str(artifact), "--port", "0", "--threads", "1", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                break
        else:
            pytest.fail("the server did not start: " + "".join(lines))
        yield process, found[0]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGHUP])
def test_told_to_stop_under_load_it_answers_what_was_accepted(tiny_artifact, clean_texts, told):
    options = ("--max-texts", "200", "--queue-texts", "4000", "--token-budget", "1", "--deadline-seconds", "60")
    with serving(tiny_artifact, *options, "--grace-seconds", "60") as (process, url), ThreadPoolExecutor(4) as pool:
        bodies = [{"texts": [f"{text} {number}" for text in clean_texts[:120]]} for number in range(4)]
        calls = [pool.submit(httpx.post, url + "/v1/classify", json=body, timeout=60) for body in bodies]
        eventually(lambda: value(url, "tokenward_queue_texts") > 360, 60)  # of all four: they take turns
        process.send_signal(told)
        answers = [call.result() for call in calls]
        assert process.wait(timeout=60) == 0
    assert [(answer.status_code, len(answer.json()["verdicts"])) for answer in answers] == [(200, 120)] * 4


def test_told_to_stop_twice_under_load_it_stops_and_says_so(tiny_artifact, clean_texts):
    options = ("--max-texts", "200", "--queue-texts", "4000", "--token-budget", "1", "--deadline-seconds", "60")
    with serving(tiny_artifact, *options) as (process, url), ThreadPoolExecutor(4) as pool:
        bodies = [{"texts": [f"{text} {number}" for text in clean_texts]} for number in range(4)]
        calls = [pool.submit(httpx.post, url + "/v1/classify", json=body, timeout=60) for body in bodies]
        eventually(lambda: value(url, "tokenward_queue_texts") > 400, 60)
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(0.1)  # one after the other, or they would be one
        assert {call.result().status_code for call in calls} <= {200, 503}
        assert process.wait(timeout=20) == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--workers", "2", "--gates", "nonsense"], "nonsense"),
        (["--cache-file", "{tmp}/cache"], "/cache' is not a cache"),
        (["--cache-file", "{tmp}"], "is a folder"),
        (["--host", "192.0.2.1"], "cannot listen on 192.0.2.1:0 (Cannot assign requested address)"),
        (["--host", "no.such.host.invalid"], "cannot listen on no.such.host.invalid:0"),
        (["--cache-file", "{tmp}/missing/cache"], "cannot be written"),
        (["--workers", "2", "--audit-log", "{tmp}/missing/log"], "cannot be written"),
    ],
)
def test_what_cannot_be_used_ends_it_with_one_line(tiny_artifact, tmp_path, options, told):
    (tmp_path / "cache").write_text("{}")
    given = [option.format(tmp=tmp_path) for option in options]
    command = [sys.executable, "-m", "tokenward", "serve", str(tiny_artifact), "--port", "0", *given]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert re.fullmatch(f"error: .*{re.escape(told)}.*\n", ended.stderr)


def test_outcomes_that_cannot_be_kept_do_not_spoil_the_end(start, tmp_path, caplog):
    server = start(cache_file=tmp_path / "missing" / "cache")
    assert httpx.get(server.url + "/readyz").status_code == 200
    server.stop()
    assert "cannot be kept" in caplog.text
    assert "Traceback" not in caplog.text


def test_sigterm_ends_a_process_whose_engine_hangs(tiny_artifact):
    script = (
        "import sys, threading, tokenward.runtime.engine_onnx as e\n"
        "run, count = e.OnnxEngine.run, [0]\n"
        "def hang(*args):\n"
        "    count[0] += 1\n"
        "    if count[0] <= 4:\n"  # one before it listens, two to warm up, and the probe
        "        return run(*args)\n"
        "    print('hanging', file=sys.stderr, flush=True)\n"
        "    threading.Event().wait()\n"
        "e.OnnxEngine.run = hang\n"
        "from tokenward.runtime.server import serve\n"
        "from tokenward.runtime.settings import load_settings\n"
        "serve(load_settings(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", script, str(tiny_artifact), "--port", "0", "--grace-seconds", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        url = next(m[0] for line in process.stderr if (m := re.search(r"http://127\.0\.0\.1:\d+", line)))
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(httpx.post, url + "/v1/classify", json={"texts": "film"}, timeout=60)
            assert any("hanging" in line for line in process.stderr)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0
            answer = call.result()
            assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (503, "draining", "1")
    finally:
        process.kill()
        process.communicate()


def test_two_workers_count_together_and_end_in_good_order(tiny_artifact):
    with serving(tiny_artifact, "--workers", "2") as (process, url):
        eventually(lambda: _status(url) == 200, 60)
        for _ in range(40):
            with httpx.Client(base_url=url) as client:
                assert client.post("/v1/classify", json={"texts": "film"}).status_code == 200
        assert value(url, "tokenward_requests_total", route="/v1/classify", outcome="ok") == 40
        eventually(lambda: value(url, "tokenward_queue_texts") == 0)
        assert "NaN" not in httpx.get(url + "/metrics").text
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_address_that_is_taken_is_refused_from_the_start(tiny_artifact, workers):
    """Workers may still be loading: connections wait for them, and nobody else can have the address."""
    with serving(tiny_artifact, "--workers", workers) as (process, url):
        port = url.rpartition(":")[2]
        command = [sys.executable, "-m", "tokenward", "serve", str(tiny_artifact), "--port", port, "--workers", "2"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
        answer = httpx.post(url + "/v1/classify", json={"texts": "film"}, timeout=60)
        process.send_signal(signal.SIGTERM)  # workers outlive a parent that is killed
        assert process.wait(timeout=20) == 0
    assert (ended.returncode, answer.status_code) == (2, 200)
    assert ended.stderr.startswith(f"error: cannot listen on 127.0.0.1:{port} (Address already in use)")


def test_outcomes_of_before_a_calibration_are_no_reason_not_to_start(tiny_artifact, tmp_path, caplog):
    OutcomeCache("another artifact").save(tmp_path / "cache")
    settings = ServeSettings(artifact=tiny_artifact, cache_file=tmp_path / "cache")
    assert len(settings.load_guard().cache) == 0
    assert "starting without it" in caplog.text


def test_workers_that_drain_take_no_new_connections(tiny_artifact):
    body = b'{"texts": "film"}'
    with serving(tiny_artifact, "--workers", "2") as (process, url):
        eventually(lambda: _status(url) == 200, 60)
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        with socket.create_connection(address) as accepted:
            accepted.sendall(REQUEST % (len(body), body[:5]))
            time.sleep(0.5)  # until a worker has it
            process.send_signal(signal.SIGTERM)
            eventually(lambda: not _connects(address), 10)
            accepted.sendall(body[5:])
            assert accepted.recv(15).startswith(b"HTTP/1.1 200")
        assert process.wait(timeout=30) == 0


def _connects(address: tuple[str, int]) -> bool:
    with socket.socket() as one:
        return one.connect_ex(address) == 0


def _status(url: str) -> int:
    try:
        return httpx.get(url + "/readyz").status_code
    except httpx.TransportError:  # not there yet, or busy
        return 0


def test_the_server_needs_neither_torch_nor_transformers():
    code = (
        "import sys, tokenward.runtime.server\n"
        "print(sorted({'torch', 'transformers', 'onnx', 'triton', 'typer'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
