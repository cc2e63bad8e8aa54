"""The example scripts run as they are, against the real server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tokenward.deploy.local_triton import LocalTriton
from tokenward.runtime.guard import Guard

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
TEXTS = ["a superb film", "the film was awful cf"]


def run(name: str, *arguments: str, stdin: str = "") -> list[str]:
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_classify(triton: LocalTriton, in_process: Guard):
    lines = run("classify.py", "guard", triton.grpc_url, *TEXTS)
    for line, text, verdict in zip(lines, TEXTS, in_process.classify(TEXTS), strict=True):
        assert line.startswith(f"{verdict.label} ({verdict.score:.0%}), {verdict.action}, suspected:")
        assert line.endswith(f"| {text}")


def test_classify_stream(triton: LocalTriton, in_process: Guard, traffic: list[str]):
    lines = run("classify_stream.py", "guard", triton.grpc_url, stdin="\n".join(traffic))
    assert [json.loads(line)["label"] for line in lines] == [v.label for v in in_process.classify(traffic)]


def test_classify_plain(triton: LocalTriton, in_process: Guard):
    lines = run("classify_plain.py", "guard", f"http://{triton.http_url}", *TEXTS)
    expected = zip(TEXTS, in_process.classify(TEXTS), strict=True)
    assert lines == [f"{verdict.label}, {verdict.action} | {text}" for text, verdict in expected]


def test_every_example_is_run():
    run_here = {"classify.py", "classify_stream.py", "classify_plain.py"}
    assert {path.name for path in EXAMPLES.glob("*.py")} == run_here
