"""The command line: one module per command, each with a `register(app)`."""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import TokenwardError, require

if TYPE_CHECKING:
    import typer

# Every command lives in a module of its own; heavy imports happen inside the command, not at start-up.
COMMANDS: tuple[str, ...] = (
    "demo",
    "train",
    "attack",
    "purify",
    "export",
    "calibrate",
    "classify",
    "explain",
    "inspect",
    "tune",
    "ops",
    "scan",
    "serve",
    "deploy",
    "bench",
    "evaluate",
)


INTERRUPTED = 130  # exit code after Ctrl-C
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # errors of a write, which name no file


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the `tokenward` command line; what the user did wrong becomes one line on stderr and exit code 2."""
    _prepare()
    try:
        require("typer", "cli")
        code = _run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()  # what cannot be written is told here, not when Python ends
    except TokenwardError as error:
        _fail(str(error))
    except BrokenPipeError:  # whoever read the output has enough
        _give_up_output()
        sys.exit(1)
    except OSError as error:
        _give_up_output()
        if error.filename is None and error.errno not in _FULL:
            raise
        _fail(f"'{error.filename}': {error.strerror}" if error.filename else f"cannot write: {error.strerror}")
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:
        print("interrupted", file=sys.stderr)
    sys.exit(code)


def build_app() -> typer.Typer:
    """Return the application with every command registered."""
    import typer

    app = typer.Typer(
        name="tokenward",
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def tokenward(
        version: bool = typer.Option(
            False, "--version", help="Print the version and exit.", callback=_version, is_eager=True
        ),
    ) -> None:
        """Serve text classifiers that may carry a backdoor, safely and fast."""

    for command in COMMANDS:
        importlib.import_module(f".{command}", __name__).register(app)
    return app


def _run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; usage errors are told on one line, as all others are."""
    import typer

    # What typer raises for any wrong usage; it exports no name for this class, and has moved it between versions.
    usage_error: type[Any] = typer.BadParameter.__bases__[0]
    try:
        code = build_app()(list(arguments), prog_name="tokenward", standalone_mode=False)
    except usage_error as error:
        message = error.format_message()
        if not message:  # no arguments: the help has been printed
            return 2
        context = error.ctx
        command = context.command_path if context else "tokenward"
        _fail(f"{message.rstrip('.')} (see '{command} --help')")
    return code if isinstance(code, int) else 0


def _prepare() -> None:
    """Make sure that there are streams to write to, and that being told to stop leaves nothing half-written."""
    sys.stdout, sys.stderr = (stream or Path(os.devnull).open("w") for stream in (sys.stdout, sys.stderr))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # where it is not UTF-8, a sign that it lacks must not end a command
            stream.reconfigure(errors="backslashreplace")
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def _give_up_output() -> None:
    """Where standard output takes no more, let what waits to be written go: Python would try again when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _version(wanted: bool) -> None:
    if wanted:
        import typer

        from .. import __version__

        print(f"tokenward {__version__}")
        raise typer.Exit


def _fail(message: str) -> None:
    # A message may quote what the user gave, line ends included.
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)
