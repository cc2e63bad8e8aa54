from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tokenward.cli import main
from tokenward.client import TritonGuardClient


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def test_from_artifact_to_answer_and_to_containers(
    tiny_artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    models = tmp_path / "models"
    assert run("deploy", "triton", tiny_artifact, "--out", models, "--name", "guard", "--labels", "no, yes") == 0
    assert str(models / "guard_graph") in capsys.readouterr().out
    command = [sys.executable, "-m", "tokenward", "deploy", "local-triton", str(models)]
    ports = ["--http-port=0", "--grpc-port=0", "--metrics-port=0"]
    server = subprocess.Popen(command + ports, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        lines = [server.stdout.readline() for _ in range(3)]
        (url,) = re.findall(r"gRPC +(\S+)", "".join(lines))
        with TritonGuardClient(url, "guard") as client:
            assert client.classify("a superb film")[0].label in ("no", "yes")
        server.terminate()  # as Ctrl-C does, this ends the server in order
        _, notes = server.communicate(timeout=30)
        assert server.returncode == 0, notes
        assert "stand-in" in notes
    finally:
        server.terminate()
    assert run("deploy", "containers", models, "--out", tmp_path / "containers", "--image", "guard:1") == 0
    assert (tmp_path / "containers" / "kubernetes" / "deployment.yaml").is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--max-batch", "0"], "max-batch is 0"),
        (["--labels", "a,a"], "name one class twice"),
        (["--name", "a/b"], "model name 'a/b'"),
        (["--mode", "on"], "Invalid value for '--mode'"),
        (["--gpu", "1", "--self-contained"], "runs on CPU"),
    ],
)
def test_wrong_options_are_one_line(
    tiny_artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
):
    assert run("deploy", "triton", tiny_artifact, "--out", tmp_path / "models", *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("command", ["triton", "local-triton", "containers"])
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]):
    assert run("deploy", command, "--help") == 0
    assert "Example:" in capsys.readouterr().out
