"""Running the command line inside the test process, which is faster than a fresh interpreter each time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tokenward.cli import main
from tokenward.runtime.guard import Guard


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run `tokenward ARGUMENTS...` with `stdin` and return its exit code and what it printed."""
    monkeypatch.setenv("COLUMNS", "120")

    def run_command(*arguments: object, stdin: str | bytes = b"") -> Outcome:
        (tmp_path / "stdin").write_bytes(stdin.encode() if isinstance(stdin, str) else stdin)
        capfd.readouterr()
        with (tmp_path / "stdin").open() as stream:
            monkeypatch.setattr("sys.stdin", stream)
            with pytest.raises(SystemExit) as exit_:
                main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Outcome(int(exit_.value.code or 0), out, err)

    return run_command


@pytest.fixture
def guard(lexicon_guard: Guard, monkeypatch: pytest.MonkeyPatch) -> Guard:
    """The guard that commands load, whatever artifact they are given: a classifier one can reason about."""
    monkeypatch.setattr("tokenward.runtime.guard.load", lambda _path: lexicon_guard)
    return lexicon_guard
