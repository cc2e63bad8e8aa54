"""Frozen dataclasses to and from JSON, strictly: a wrong or missing field is named, never guessed."""

from __future__ import annotations

import dataclasses
import types
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import ArtifactError

T = TypeVar("T")


def to_json(record: Any) -> Any:
    """Turn a dataclass (nested, with tuples and dicts) into plain JSON values."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {f.name: to_json(getattr(record, f.name)) for f in dataclasses.fields(record)}
    if isinstance(record, (tuple, list)):
        return [to_json(item) for item in record]
    if isinstance(record, dict):
        return {key: to_json(value) for key, value in record.items()}
    return record


def from_json(kind: type[T], data: Any, where: str) -> T:
    """Build ``kind`` from JSON ``data``; ``where`` is the path named in the error.

    Raises:
        ArtifactError: a field is missing, unknown, or of another type than declared.
    """
    result: T = _convert(kind, data, where)
    return result


def _convert(kind: Any, data: Any, where: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _record(kind, data, where)
    if origin in (Union, types.UnionType):
        if data is None and type(None) in arguments:
            return None
        return _convert(next(a for a in arguments if a is not type(None)), data, where)
    if origin is Literal:
        if data not in arguments:
            raise ArtifactError(f"{where} is {data!r:.60}, expected one of {', '.join(map(repr, arguments))}")
        return data
    if origin is tuple and isinstance(data, list):
        return tuple(_convert(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(data))
    if origin is dict and isinstance(data, dict):
        return {key: _convert(arguments[1], value, f"{where}.{key}") for key, value in data.items()}
    if kind is Any or type(data) is kind:
        return data
    if kind is float and type(data) is int:
        return float(data)
    raise ArtifactError(f"{where} is {data!r:.60}, expected {getattr(kind, '__name__', kind)}")


def _record(kind: Any, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise ArtifactError(f"{where} is {data!r:.60}, expected an object")
    hints, fields = get_type_hints(kind), {f.name: f for f in dataclasses.fields(kind)}
    for name in data.keys() - fields.keys():
        raise ArtifactError(f"{where}.{name} is not a known field")
    values = {}
    for name, field in fields.items():
        if name in data:
            values[name] = _convert(hints[name], data[name], f"{where}.{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ArtifactError(f"{where}.{name} is missing")
    return kind(**values)
