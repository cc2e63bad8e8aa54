"""Failing graphs, models that come and go under traffic, crashes: nothing is answered wrongly and nothing leaks."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
from onnx import numpy_helper
from tritonclient.utils import InferenceServerException

from tokenward.client import AsyncTritonGuardClient, DeadlineError, TritonGuardClient
from tokenward.deploy import probe as probe_module
from tokenward.deploy.local_triton import LocalTriton
from tokenward.deploy.repository import write_repository
from tokenward.deploy.settings import TritonSettings
from tokenward.errors import EngineError, InputError
from tokenward.runtime.guard import Guard

LEAKS = re.compile(r"Traceback|\.py|/tmp|/home|line \d+|onnx runtime", re.IGNORECASE)
TEXT = "a superb film cf"


@pytest.fixture(scope="module")
def fragile(
    tiny_artifact: Path, uncalibrated_artifact: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalTriton]:
    """A server of its own, since models are unloaded and killed; ``broken`` has a graph that fails on every text."""
    repository = tmp_path_factory.mktemp("fragile") / "repository"
    write_repository(tiny_artifact, repository, TritonSettings("guard"))
    write_repository(tiny_artifact, repository, TritonSettings("broken"))
    write_repository(
        tiny_artifact, repository, TritonSettings("narrow", max_batch=1, queue_size=2, self_contained=True)
    )
    write_repository(uncalibrated_artifact, repository, TritonSettings("bare", mode="off"))
    names = ("guard", "guard_graph", "broken", "broken_graph", "bare_graph")
    options = ["--model-control-mode=explicit", *(f"--load-model={name}" for name in names)]
    with LocalTriton(repository, options=options) as server:
        yield server


def lose_vocabulary(path: Path) -> None:
    """Leave only the first token's embedding; the graph still loads, and can be warmed up with it."""
    model = onnx.load(path)
    size = max(table.dims[0] for table in model.graph.initializer if len(table.dims) == 2 and "word_emb" in table.name)
    for table in model.graph.initializer:
        if len(table.dims) == 2 and table.dims[0] == size:
            table.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(table)[:1], table.name))
    onnx.save(model, path)


@pytest.fixture
def control(fragile: LocalTriton) -> Iterator[Any]:
    with tritonclient.grpc.InferenceServerClient(fragile.grpc_url) as client:
        yield client


def test_a_failing_graph_is_an_internal_error_without_details(fragile: LocalTriton, control: Any):
    lose_vocabulary(fragile.repository / "broken_graph" / "1" / "model.onnx")
    control.load_model("broken_graph")
    with TritonGuardClient(fragile.grpc_url, "broken") as client:
        with pytest.raises(EngineError, match="the guarded graph failed on a batch: see the server's log") as failure:
            client.classify(TEXT)
        assert not isinstance(failure.value, DeadlineError)
    assert not LEAKS.search(str(failure.value))
    until = time.monotonic() + 10  # the model's process logs by way of the server, some time after it has answered
    while "onnx runtime error" not in (log := fragile.log.read_text()) and time.monotonic() < until:
        time.sleep(0.05)
    assert "onnx runtime error" in log, "the operator finds it there"


def test_an_uncalibrated_model_only_serves_off(fragile: LocalTriton, control: Any, in_process: Guard):
    control.load_model("bare")
    with TritonGuardClient(fragile.http_url, "bare", "http") as client:
        assert client.classify(TEXT)[0].label == in_process.classify(TEXT, "off")[0].label
        with pytest.raises(InputError, match="not calibrated") as refusal:
            client.classify(TEXT, mode="enforce")
    assert not LEAKS.search(str(refusal.value))


def test_an_unloaded_graph_is_unavailable_until_it_is_back(fragile: LocalTriton, control: Any, in_process: Guard):
    control.unload_model("guard_graph")
    hasty = TritonGuardClient(fragile.grpc_url, "guard", deadline=0.5)
    with hasty, pytest.raises(DeadlineError, match="not ready"):
        hasty.classify(TEXT)
    with TritonGuardClient(fragile.grpc_url, "guard") as client:
        timer = threading.Timer(0.3, control.load_model, ["guard_graph"])
        timer.start()
        assert client.classify(TEXT)[0].action == in_process.classify(TEXT)[0].action
        timer.join()


@pytest.mark.parametrize("wire", ["grpc", "http"])
def test_no_request_is_lost_while_models_come_and_go(
    fragile: LocalTriton, control: Any, in_process: Guard, traffic: list[str], wire: Any
):
    expected = [v.label for v in in_process.classify(traffic[:100])]
    url = fragile.grpc_url if wire == "grpc" else fragile.http_url
    done, ready = threading.Event(), threading.Barrier(4)
    answers: list[list[str]] = []

    def ask() -> None:
        with TritonGuardClient(url, "guard", wire, deadline=60, batch=1) as client:
            client.classify(TEXT)
            ready.wait()
            while not done.is_set():
                answers.append([verdict.label for verdict in client.classify(traffic[:100])])

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    ready.wait()
    for name in ("guard", "guard_graph"):
        control.unload_model(name)
        control.load_model(name)
    done.set()
    for asker in askers:
        asker.join()
    assert answers == [expected] * len(answers)
    assert len(answers) >= 3


def test_requests_refused_during_a_reload_are_told_to_come_again(fragile: LocalTriton, control: Any):
    """And where the model is replaced without unloading it first, none is refused."""
    entry = tritonclient.grpc.InferInput("TEXT", [1, 1], "BYTES")
    entry.set_data_from_numpy(np.array([[TEXT.encode()]], dtype=object))
    statuses: list[list[str]] = [[], []]
    finished = [threading.Event(), threading.Event()]

    def ask() -> None:
        with tritonclient.grpc.InferenceServerClient(fragile.grpc_url) as client:
            for seen, end in zip(statuses, finished, strict=True):
                while not end.is_set():
                    try:
                        client.infer("guard", [entry])
                        seen.append("OK")
                    except InferenceServerException as error:
                        seen.append(str(error.status()))

    asker = threading.Thread(target=ask)
    asker.start()
    before = processes_of(fragile, "guard")
    os.utime(fragile.repository / "guard" / "1" / "model.py")
    control.load_model("guard")
    assert processes_of(fragile, "guard") - before, "the model was not loaded anew"
    finished[0].set()
    control.unload_model("guard")
    control.load_model("guard")
    finished[1].set()
    asker.join()
    assert set(statuses[0]) == {"OK"}
    # Triton has no UNAVAILABLE for a model that is unloaded, only for one that is loading.
    assert set(statuses[1]) <= {"OK", "StatusCode.UNAVAILABLE", "StatusCode.NOT_FOUND"}


async def test_a_full_queue_refuses_and_the_client_comes_again(
    fragile: LocalTriton, control: Any, in_process: Guard, traffic: list[str]
):
    control.load_model("narrow")
    entry = tritonclient.grpc.InferInput("TEXT", [1, 1], "BYTES")
    entry.set_data_from_numpy(np.array([[TEXT.encode()]], dtype=object))
    async with tritonclient.grpc.aio.InferenceServerClient(fragile.grpc_url) as plain:
        asked = (plain.infer("narrow", [entry]) for _ in range(32))
        answers = await asyncio.gather(*asked, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, InferenceServerException)]
    assert 0 < len(refused) < 32
    assert {str(error.status()) for error in refused} == {"StatusCode.UNAVAILABLE"}
    async with AsyncTritonGuardClient(fragile.grpc_url, "narrow", batch=1) as client:
        verdicts = await client.classify(traffic[:32])
    assert [v.label for v in verdicts] == [v.label for v in in_process.classify(traffic[:32])]


async def test_a_request_that_waited_too_long_is_told_so(fragile: LocalTriton, control: Any, traffic: list[str]):
    control.load_model("narrow")
    async with AsyncTritonGuardClient(fragile.grpc_url, "narrow", batch=1, deadline=0.01) as client:
        with pytest.raises(DeadlineError, match="before the deadline"):
            await client.classify(traffic[:32])


def test_the_probe_notices_a_dead_model_process(fragile: LocalTriton, control: Any):
    """Triton itself goes on saying that it is ready."""
    command = [
        sys.executable,
        str(probe_module.__file__),
        "guard",
        "--url",
        f"http://{fragile.http_url}",
        "--seconds=2",
    ]
    assert subprocess.run(command).returncode == 0
    for process in processes_of(fragile, "guard"):
        os.kill(process, signal.SIGKILL)
    assert subprocess.run(command, capture_output=True).returncode == 1
    assert subprocess.run([*command, "--alive"], capture_output=True).returncode == 1
    assert control.is_server_ready()
    assert control.is_model_ready("guard")
    control.unload_model("guard")
    control.load_model("guard")
    assert subprocess.run(command).returncode == 0


def test_a_client_outlives_its_server(tiny_artifact: Path, tmp_path: Path, in_process: Guard):
    write_repository(tiny_artifact, tmp_path / "repository", TritonSettings("guard", self_contained=True))
    expected = in_process.classify(TEXT)[0].label
    with LocalTriton(tmp_path / "repository") as server:
        clients = [
            TritonGuardClient(server.grpc_url, "guard", deadline=60),
            TritonGuardClient(server.http_url, "guard", "http", deadline=60),
        ]
        assert [client.classify(TEXT)[0].label for client in clients] == [expected] * 2
        server.kill()
        restart = threading.Thread(target=server.start)
        restart.start()
        assert [client.classify(TEXT)[0].label for client in clients] == [expected] * 2
        restart.join()
        for client in clients:
            client.close()


@pytest.mark.parametrize("wire", ["grpc", "http"])
def test_no_server_is_told_at_the_deadline(wire: Any):
    with TritonGuardClient("127.0.0.1:9", "guard", wire, deadline=0.4) as client, pytest.raises(DeadlineError):
        client.classify(TEXT)


def processes_of(server: LocalTriton, model: str) -> set[int]:
    """Ids of a model's Python processes (its path is their argument); old ones may be on their way out."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            line = (process / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            if "triton_python_backend_stub" in line and f"{server.repository}/{model}/" in line:
                found.add(int(process.name))
    return found
