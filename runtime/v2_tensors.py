"""The KServe / Triton v2 tensors of a guarded model: one mapping for our own server and for the Triton deployment.

| | name | type, shape | content |
| --- | --- | --- | --- |
| in | `TEXT` | BYTES [n, 1] | UTF-8 texts |
| out | `LABEL` | BYTES [n, 1] | the answer |
| out | `PROBABILITIES` | FP32 [n, classes] | softmax of the logits that gave the answer, in label order |
| out | `ACTION` | BYTES [n, 1] | what the guard did, see :class:`Verdict` |
| out | `ANOMALY_SCORE` | FP32 [n, 1] | −1 where there is none: no score is negative, and JSON has no NaN |
| out | `SUSPECT` | BYTES [n, 1] | JSON list of `{text, start, end}` |
| out | `REPAIRED_TEXT` | BYTES [n, 1] | empty where nothing was repaired |
| out | `VERDICT` | BYTES [n, 1] | the whole verdict as JSON, as `/v1/classify` gives it |

A request that names no outputs gets all of them. Request parameters: `mode` (`enforce`, `monitor`, `off`) and the
booleans `explain` (adds per-token scores to `VERDICT`) and `truncate`; others belong to the protocol and are ignored.

Needs NumPy alone (1.26 or 2), since a Triton Python model imports it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .verdict import MODES, Mode, Verdict

Rows = NDArray[Any]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor as model metadata gives it; −1 in ``shape`` is any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """What a caller may choose per request, as in :meth:`Guard.classify`."""

    mode: Mode = "enforce"
    explain: bool = False
    truncate: bool = True


INPUT = TensorSpec("TEXT", "BYTES", (-1, 1))
NO_SCORE = -1.0
_TOLD = 60  # characters of a value
_TOLD_ITEMS = 8


def output_specs(classes: int) -> tuple[TensorSpec, ...]:
    """The outputs of a model with ``classes`` labels, in the order they are sent."""
    floats = {"PROBABILITIES": classes, "ANOMALY_SCORE": 1}
    return tuple(
        TensorSpec(name, "FP32" if name in floats else "BYTES", (-1, floats.get(name, 1))) for name in _COLUMNS
    )


def check_shape(shape: list[Any]) -> None:
    """Refuse a shape of ``TEXT`` that is not [n, 1].

    Raises:
        InputError: saying so.
    """
    if len(shape) != 2 or shape[1] != 1:
        raise InputError(f"{INPUT.name} has shape {told(shape)}, expected [n, 1]: one text per row")


def told(value: Any) -> str:
    """A value for a message, on one line; of a large one, which would take long to write out, only what it is."""
    if isinstance(value, list | dict) and len(value) > _TOLD_ITEMS:
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    return f"{value[:_TOLD] if isinstance(value, str) else value!r:.{_TOLD}}"


def texts_of(values: Rows) -> list[str]:
    """Decode the ``TEXT`` tensor.

    Args:
        values: object array [n, 1] of bytes (or str, as some clients send).

    Raises:
        InputError: the shape is another, or an element is not valid UTF-8.
    """
    check_shape(list(values.shape))
    return [_decode(value, row) for row, value in enumerate(values[:, 0])]


def options_of(parameters: Mapping[str, Any], default: Mode = "enforce") -> RequestOptions:
    """Read the request parameters; ``default`` is the mode where none is given.

    Raises:
        InputError: a value is none of those allowed.
    """
    mode = parameters.get("mode", default)
    if mode not in MODES:
        raise InputError(f"parameter mode is {told(mode)}, expected one of {', '.join(MODES)}")
    return RequestOptions(mode, _boolean(parameters, "explain", False), _boolean(parameters, "truncate", True))


def outputs_of(verdicts: Sequence[Verdict], wanted: Collection[str] = ()) -> dict[str, Rows]:
    """Encode verdicts as output tensors: bytes in object arrays, and float32.

    Args:
        verdicts: at least one.
        wanted: names of the outputs to make; empty for all.

    Raises:
        InputError: an output is unknown.
    """
    for name in wanted:
        if name not in OUTPUTS:
            raise InputError(f"output {told(name)} is unknown, expected one of {', '.join(OUTPUTS)}")
    return {name: column(verdicts) for name, column in _COLUMNS.items() if not wanted or name in wanted}


def _strings(value: Callable[[Verdict], str]) -> Callable[[Sequence[Verdict]], Rows]:
    return lambda verdicts: np.array([[value(v).encode()] for v in verdicts], dtype=np.object_)


def _floats(values: Callable[[Verdict], Sequence[float]]) -> Callable[[Sequence[Verdict]], Rows]:
    return lambda verdicts: np.array([values(v) for v in verdicts], dtype=np.float32)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


_COLUMNS: dict[str, Callable[[Sequence[Verdict]], Rows]] = {
    "LABEL": _strings(lambda v: v.label),
    "PROBABILITIES": _floats(lambda v: list(v.probabilities.values())),
    "ACTION": _strings(lambda v: v.action),
    "ANOMALY_SCORE": _floats(lambda v: [NO_SCORE if v.anomaly_score is None else v.anomaly_score]),
    "SUSPECT": _strings(lambda v: _json([asdict(suspect) for suspect in v.suspects])),
    "REPAIRED_TEXT": _strings(lambda v: v.repaired_text or ""),
    "VERDICT": _strings(lambda v: _json(v.to_dict())),
}
OUTPUTS = tuple(_COLUMNS)


def _decode(value: Any, row: int) -> str:
    if isinstance(value, str):
        return value
    try:
        return bytes(value).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{INPUT.name} row {row} is not valid UTF-8: {error.reason} at byte {error.start}") from error


def _boolean(parameters: Mapping[str, Any], name: str, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise InputError(f"parameter {name} is {told(value)}, expected true or false")
    return value
