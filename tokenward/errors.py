"""Errors that are shown to people: one line that says what was wrong, what was expected and what to do."""

from __future__ import annotations

import importlib
from types import ModuleType


class TokenwardError(Exception):
    """Base of every error meant for the user; the command line prints it on one line and exits with code 2."""


class MissingExtraError(TokenwardError):
    """An optional dependency is not installed; the message names the extra that brings it."""


class ArtifactError(TokenwardError):
    """An artifact folder is missing, incomplete, altered or of an unknown schema."""


class InputError(TokenwardError):
    """Something the caller gave (a text, a file, a setting) cannot be used."""


class ExportError(TokenwardError):
    """A model cannot be turned into a guarded graph, or the graph failed its validation."""


class EngineError(TokenwardError):
    """A loaded graph could not be run, or answered with something that is not a number."""


def require(module: str, extra: str) -> ModuleType:
    """Import ``module`` or raise :class:`MissingExtraError` naming the ``extra`` that installs it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or module
        raise MissingExtraError(
            f"this needs the package '{missing.partition('.')[0]}', which is not installed: "
            f"pip install 'tokenward[{extra}]'"
        ) from error


def first_line(error: BaseException) -> str:
    """The first line of another library's error, which may run over many or say nothing but its class."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
