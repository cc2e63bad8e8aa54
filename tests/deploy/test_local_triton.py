from __future__ import annotations

import os
import signal
import socket
import threading
import time
from pathlib import Path

import onnx
import pytest

from tokenward.deploy.local_triton import LocalTriton, Ports
from tokenward.deploy.repository import write_repository
from tokenward.deploy.settings import TritonSettings
from tokenward.deploy.triton_wheel import LocalTritonError


@pytest.fixture
def repository(tiny_artifact: Path, tmp_path: Path) -> Path:
    write_repository(tiny_artifact, tmp_path / "models", TritonSettings("guard", self_contained=True))
    return tmp_path / "models"


def test_ends_in_order_and_leaves_nothing(repository: Path):
    server = LocalTriton(repository)
    try:
        server.start()
        pid, folder = server.pid, server.log.parent
        assert server.stop() == 0
    finally:
        server.close()
    with pytest.raises(ProcessLookupError):
        os.killpg(pid, 0)
    assert not folder.exists()
    assert not list(Path("/dev/shm").glob(f"{folder.name.replace('-', '_')}_*"))


def test_wait_gives_the_status_of_a_server_that_ends_by_itself(repository: Path):
    with LocalTriton(repository) as server:
        threading.Timer(0.1, os.kill, [server.pid, signal.SIGTERM]).start()
        assert server.wait() == 0


def test_a_taken_port_is_told(repository: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LocalTritonError, match=f"port {port} is taken"), LocalTriton(repository, Ports(http=port)):
            pass


def test_a_model_that_cannot_be_loaded_is_told(repository: Path):
    (repository / "guard" / "1" / "artifact" / "guard.json").write_text("{}")
    with pytest.raises(LocalTritonError, match=r"guard\.json does not match its checksum"), LocalTriton(repository):
        pass


def test_a_polling_server_loads_a_model_once(repository: Path):
    options = ["--model-control-mode=poll", "--repository-poll-secs=1"]
    with LocalTriton(repository, options=options) as server:
        time.sleep(3)
        assert server.log.read_text().count("successfully loaded 'guard'") == 1


def test_an_altered_graph_is_not_served(tiny_artifact: Path, tmp_path: Path):
    graph, _ = write_repository(tiny_artifact, tmp_path, TritonSettings("guard"))
    path = graph / "1" / "model.onnx"
    altered = onnx.load(path)
    weights = next(each for each in altered.graph.initializer if len(each.raw_data) > 64)
    weights.raw_data = bytes([weights.raw_data[0] ^ 1]) + weights.raw_data[1:]
    onnx.save(altered, path)
    told = "of model 'guard_graph' does not match its checksum"
    with pytest.raises(LocalTritonError, match=told), LocalTriton(tmp_path):
        pass


def test_no_repository(tmp_path: Path):
    with pytest.raises(LocalTritonError, match="tokenward deploy triton"):
        LocalTriton(tmp_path / "nowhere")


def test_a_folder_without_a_model(tmp_path: Path):
    with pytest.raises(LocalTritonError, match="holds no model: write one with 'tokenward deploy triton'"):
        LocalTriton(tmp_path)


def test_one_port_for_two_things_is_told(repository: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(LocalTritonError, match=r"the server ended while starting: \S"):
        LocalTriton(repository, Ports(http=port, grpc=port)).start()
