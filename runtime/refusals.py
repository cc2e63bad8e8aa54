"""Why a request got no answer although nothing was wrong with it."""

from __future__ import annotations

from ..errors import TokenwardError


class OverloadedError(TokenwardError):
    """Too much is waiting already: come back later."""


class DeadlineError(TokenwardError):
    """The answer was not there in time; what was still waiting has been dropped."""


class ClosingError(TokenwardError):
    """The engine is shutting down: it finishes what it has accepted and accepts nothing more."""
