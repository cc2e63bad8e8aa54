"""Why a request got no answer although nothing was wrong with it, and all reasons why one gets none."""

from __future__ import annotations

import asyncio
from typing import Literal

from ..errors import InputError, TokenwardError

Loss = Literal["dropped", "timed_out", "refused", "failed"]
"""The caller left, waited too long, should not have asked (now), or the engine failed."""


class OverloadedError(TokenwardError):
    """Too much is waiting already: come back later."""


class DeadlineError(TokenwardError):
    """The answer was not there in time; what was still waiting has been dropped."""


class ClosingError(TokenwardError):
    """The engine is shutting down: it finishes what it has accepted and accepts nothing more."""


def loss_of(error: BaseException) -> Loss:
    """Why a request that ended with this error got no answer."""
    if isinstance(error, asyncio.CancelledError):
        return "dropped"
    if isinstance(error, DeadlineError):
        return "timed_out"
    return "refused" if isinstance(error, (InputError, OverloadedError, ClosingError)) else "failed"
