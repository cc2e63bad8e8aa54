"""Figures in the documents: each has the command that prints it beside it, and every command parses as it stands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from tokenward import cli

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "deploy/*.md", "bench/results/README.md")
    for path in ROOT.glob(pattern)
)
FIGURE = re.compile(r"\d\s?%|×\s?\d|\d\s?×|\d\s?texts/s")
COMMAND = re.compile(r"(?:`|\$ )(?:tokenward|make|python -m tokenward)[ .]")
NEAR = 2  # blocks
UsageError: Any = typer.BadParameter.__bases__[0]  # typer exports no names for these two
NEEDED = "MissingParameter"


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def command_lines(text: str) -> list[str]:
    """What is typed: code spans and lines of consoles; continued lines are joined."""
    joined = text.replace("\\\n", " ")
    return re.findall(r"(?:`|^\$ )(tokenward [^`\n]+)", joined, re.MULTILINE)


def blocks(text: str) -> list[str]:
    """Paragraphs, and fenced blocks as a whole."""
    parts = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    return [
        block
        for number, part in enumerate(parts)
        for block in ([part] if number % 2 else re.split(r"\n\s*\n", part))
        if block.strip()
    ]


def parse(line: str) -> None:
    """Parse a command line without running it; a command that is only named needs no arguments.

    Raises:
        UsageError: the command or an option does not exist, or something is missing.
    """
    words = shlex.split(line.partition(" | ")[0].partition(" > ")[0])[1:]
    command: Any = typer.main.get_command(cli.build_app())
    while words and hasattr(command, "commands"):
        name = words.pop(0)
        if name.startswith("-"):
            return
        if name not in command.commands:
            raise UsageError(f"no command '{name}'")
        command = command.commands[name]
    if words:
        command.make_context(command.name, words)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_parses(name: str) -> None:
    for line in command_lines(read(name)):
        try:
            parse(line)
        except UsageError as error:
            if type(error).__name__ == NEEDED and f"$ {line}" not in read(name):
                continue  # prose may name an option without all that the command needs
            pytest.fail(f"{name}: {line}: {error.format_message()}")


def test_every_example_in_the_help_parses() -> None:
    waiting = [typer.main.get_command(cli.build_app())]
    while waiting:
        command: Any = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        if not hasattr(command, "commands"):
            lines = command_lines(command.epilog or "")
            assert lines, f"{command.name}: no example in its help"
            for line in lines:
                parse(line)


def test_every_figure_in_the_readme_has_its_command_beside_it() -> None:
    found = blocks(read("README.md"))
    for number, block in enumerate(found):
        if FIGURE.search(block):
            near = "\n".join(found[max(0, number - NEAR) : number + NEAR + 1])
            assert COMMAND.search(near), f"no command near: {block}"


def test_wrong_commands_are_found() -> None:
    for line in ("tokenward bensch", "tokenward bench nothing", "tokenward export m", "tokenward inspect a --wrong"):
        with pytest.raises(UsageError):
            parse(line)
    assert command_lines("`tokenward serve a`\n\n$ tokenward export m \\\n  --out a\n") == [
        "tokenward serve a",
        "tokenward export m    --out a",
    ]
    assert not FIGURE.search("version 0.1 of 3 files")
