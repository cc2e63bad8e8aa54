"""The entry point: version, help, and how errors of every kind reach the user."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer

import tokenward
from tokenward import cli
from tokenward.errors import InputError

from .conftest import Run


def tokenward_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("tokenward")
    return subprocess.run([str(program), *arguments], capture_output=True, text=True, timeout=120, check=False)


def test_the_installed_command() -> None:
    outcome = tokenward_command("--version")
    assert (outcome.returncode, outcome.stdout) == (0, f"tokenward {tokenward.__version__}\n")
    module = subprocess.run(
        [sys.executable, "-m", "tokenward", "--version"], capture_output=True, text=True, check=True
    )
    assert module.stdout == outcome.stdout


def test_the_installed_command_tells_errors_on_one_line() -> None:
    outcome = tokenward_command("inspect", "/nowhere")
    assert outcome.returncode == 2
    assert outcome.stderr.startswith("error: no artifact at '/nowhere'")
    assert outcome.stderr.count("\n") == 1
    assert outcome.stdout == ""


def test_version_matches_the_package_metadata() -> None:
    assert importlib.import_module("importlib.metadata").version("tokenward") == tokenward.__version__


def test_no_arguments_print_help(run: Run) -> None:
    outcome = run()
    assert outcome.code == 2
    assert "Usage: tokenward" in outcome.out
    assert outcome.err == ""


def commands() -> list[str]:
    """Every command as it is typed, those in groups included."""
    return [
        f"{name} {part}" if part else name
        for name, command in typer.main.get_command(cli.build_app()).commands.items()
        for part in getattr(command, "commands", [""])
    ]


@pytest.mark.parametrize("command", commands())
def test_every_command_has_help_with_an_example(run: Run, command: str) -> None:
    outcome = run(*command.split(), "--help")
    assert outcome.code == 0
    assert f"tokenward {command}" in " ".join(outcome.out.partition("Example")[2].split())


@pytest.mark.parametrize(
    ("arguments", "words", "hint"),
    [
        (["--colour"], "--colour", "tokenward --help"),
        (["inspekt"], "Did you mean 'inspect'?", "tokenward --help"),
        (["inspect"], "ARTIFACT", "tokenward inspect --help"),
        (["inspect", "a", "b"], "(b)", "tokenward inspect --help"),
    ],
)
def test_usage_errors_are_one_line(run: Run, arguments: list[str], words: str, hint: str) -> None:
    outcome = run(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("error: ")
    assert outcome.err.endswith(f" (see '{hint}')\n")
    assert outcome.err.count("\n") == 1
    assert words.lower() in outcome.err.lower()


def test_an_error_that_quotes_line_ends_is_still_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise InputError("label 'a\nb' is unknown:\r\n rename it")

    monkeypatch.setattr(cli, "build_app", fail)
    assert run().err == "error: label 'a b' is unknown: rename it\n"


def test_a_missing_extra_is_one_line_that_names_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "typer", None)
    outcome = run("--version")
    assert outcome.code == 2
    assert (
        outcome.err == "error: this needs the package 'typer', which is not installed: pip install 'tokenward[cli]'\n"
    )


def test_operating_system_errors_name_the_file(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        Path("/nowhere/at/all").read_text()

    monkeypatch.setattr(cli, "build_app", fail)
    assert run().err == "error: '/nowhere/at/all': No such file or directory\n"


def test_ctrl_c_ends_quietly(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "build_app", lambda: os.kill(os.getpid(), signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever tests before this one have left
    try:
        outcome = run()
    finally:
        signal.signal(signal.SIGINT, before)
    assert (outcome.code, outcome.err) == (130, "interrupted\n")


def test_help_needs_no_heavy_imports() -> None:
    heavy = {"torch", "transformers", "onnxruntime", "onnx_ir", "fastapi", "tritonclient"}
    program = f"import sys, tokenward.cli; tokenward.cli.build_app(); print({heavy} & set(sys.modules))"
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert outcome.stdout == "set()\n"


def started(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tokenward", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options)


@pytest.mark.parametrize("command", ["classify", "inspect"])
def test_output_that_cannot_be_written_is_told_on_one_line(command: str, tiny_artifact: Path) -> None:
    """On a full device the text waits in a buffer: it is lost when it is flushed, by us or when Python ends."""
    texts = ["a fine film"] if command == "classify" else []
    with Path("/dev/full").open("w") as full, started(command, tiny_artifact, *texts, stdout=full) as process:
        _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (2, "error: cannot write: No space left on device\n")


@pytest.mark.parametrize("command", ["inspect", "ops"])
def test_a_reader_that_has_enough_is_no_error(command: str, tiny_artifact: Path) -> None:
    arguments = [tiny_artifact] if command == "inspect" else []
    reading, writing = os.pipe()
    os.close(reading)
    with started(command, *arguments, stdout=writing) as process:
        os.close(writing)
        _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (1, "")


def test_other_errors_without_a_file_are_not_taken_for_those_of_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError("a library's own words")

    monkeypatch.setattr(cli, "build_app", fail)
    with pytest.raises(OSError, match="a library's own words"):
        cli.main([])


def test_without_a_standard_output_it_works_all_the_same(tiny_artifact: Path, tmp_path: Path) -> None:
    command = f"{sys.executable} -m tokenward classify {tiny_artifact} 'a fine film' >&-"
    ended = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stderr) == (0, "1 texts: 1 cleared\n")


@pytest.mark.parametrize(("number", "code", "told"), [(signal.SIGINT, 130, "interrupted\n"), (signal.SIGTERM, 143, "")])
def test_told_to_stop_it_leaves_nothing_half_written(
    number: signal.Signals, code: int, told: str, tiny_artifact: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out" / "verdicts.jsonl"
    out.parent.mkdir()
    arguments = ("classify", tiny_artifact, "--out", out)
    with started(*arguments, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        until = time.monotonic() + 60
        while not list(out.parent.iterdir()) and time.monotonic() < until:
            time.sleep(0.05)
        (part,) = out.parent.iterdir()
        assert (part.name.partition(".jsonl.")[0], part.suffix) == ("verdicts", ".part")
        process.send_signal(number)
        assert process.wait(timeout=60) == code
        assert process.stderr is not None
        assert process.stderr.read() == told
    assert list(out.parent.iterdir()) == []
