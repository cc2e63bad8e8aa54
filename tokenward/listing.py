"""One text or many, as every way of asking takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    try:
        each = None if isinstance(texts, (bytes, Mapping)) else iter(texts)
    except TypeError:  # what says that it is iterable need not be: an array without an axis
        each = None
    if each is None:
        raise InputError(f"texts are {type(texts).__name__}, expected a string or a sequence of strings")
    return list(each)
