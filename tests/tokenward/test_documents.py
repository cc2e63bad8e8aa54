"""What the documents promise: every command they name exists, and the README's example runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from tokenward import cli

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def commands() -> set[str]:
    """Commands as they are typed; a group counts by itself, too."""
    found = set()
    for name, command in typer.main.get_command(cli.build_app()).commands.items():
        found |= {name, *(f"{name} {part}" for part in getattr(command, "commands", ()))}
    return found


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_named_exists(name: str, commands: set[str]) -> None:
    groups = {command.split()[0] for command in commands if " " in command}
    for command, part in re.findall(r"(?:`|\$ )tokenward ([a-z][\w-]*)(?: ([a-z][\w-]*))?", read(name)):
        assert command in commands, f"{name} names 'tokenward {command}'"
        if command in groups and part:
            assert f"{command} {part}" in commands, f"{name} names 'tokenward {command} {part}'"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_make_target_named_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    assert set(re.findall(r"(?:`|\$ )make ([a-z-]+)", read(name))) <= targets


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_file_linked_or_named_exists(name: str) -> None:
    text = read(name)
    linked = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    named = re.findall(r"`((?:tokenward|attacks|purify|export|kernels|runtime|deploy|bench|tests)/[\w/.]*)`", text)
    assert not [path for path in [*linked, *named] if not (ROOT / path).exists()]


def test_the_python_example_runs(tiny_artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", read("README.md"), re.DOTALL)
    code = example.replace('"artifacts/guarded"', repr(str(tiny_artifact)))
    assert code != example
    assert len(example.strip().splitlines()) <= 12
    exec(compile(code, "README.md", "exec"), {})
    assert "'label':" in capsys.readouterr().out


def test_documents_are_readable_in_a_terminal() -> None:
    for name in DOCUMENTS:
        for line in read(name).splitlines():
            assert len(line) <= 120 or line.startswith("|"), f"{name}: {line}"
