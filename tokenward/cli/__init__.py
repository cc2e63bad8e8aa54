"""The command line: one module per command, each with a `register(app)`."""

from __future__ import annotations

import importlib
import sys

from ..errors import TokenwardError, require

# Every command lives in a module of its own; heavy imports happen inside the command, not at start-up.
COMMANDS: tuple[str, ...] = ()


def main() -> None:
    """Run the `tokenward` command line; user errors become one line on stderr and exit code 2."""
    try:
        typer = require("typer", "cli")
        app = typer.Typer(
            name="tokenward", no_args_is_help=True, rich_markup_mode="markdown", pretty_exceptions_enable=False,
            help="Serve text classifiers that may carry a backdoor, safely and fast.",
        )
        for command in COMMANDS:
            importlib.import_module(f".{command}", __name__).register(app)
        app()
    except TokenwardError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
