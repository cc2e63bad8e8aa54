"""One text or many, as every way of asking takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, overload

from .errors import InputError

T = TypeVar("T")


@overload
def listed(texts: str | Sequence[str]) -> list[str]: ...


@overload
def listed(texts: Sequence[T]) -> list[T]: ...


def listed(texts: Any) -> list[Any]:
    """One text or many as a list.

    Raises:
        InputError: it is neither; a mapping is refused, since what it lists are its keys.
    """
    if isinstance(texts, str):
        return [texts]
    if isinstance(texts, (bytes, Mapping)) or not isinstance(texts, Iterable):
        raise InputError(f"texts are {type(texts).__name__}, expected a string or a sequence of strings")
    return list(texts)
