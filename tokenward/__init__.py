"""Tokenward serves text classifiers that may carry a backdoor, safely and fast."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import TokenwardError

if TYPE_CHECKING:
    from .runtime.batching import AsyncGuard
    from .runtime.guard import Guard, load
    from .runtime.verdict import Verdict

__version__ = "0.1.0"
__all__ = ["AsyncGuard", "Guard", "TokenwardError", "Verdict", "__version__", "load"]

_LAZY = {
    "AsyncGuard": "runtime.batching",
    "Guard": "runtime.guard",
    "load": "runtime.guard",
    "Verdict": "runtime.verdict",
}


def __getattr__(name: str) -> Any:
    """Import the public names on first use, so that `import tokenward` stays light."""
    if name not in _LAZY:
        raise AttributeError(f"module 'tokenward' has no attribute '{name}'")
    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
