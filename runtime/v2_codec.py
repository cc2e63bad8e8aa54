"""The KServe / Triton v2 protocol on the wire: JSON with, optionally, raw tensors behind it (binary extension)."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from ..errors import InputError
from .v2_tensors import INPUT, OUTPUTS, Rows, TensorSpec, check_shape, told

JSON_LENGTH = "Inference-Header-Content-Length"  # header: bytes of JSON before the raw tensors
ID_CHARACTERS = 256


@dataclass(frozen=True, slots=True)
class InferRequest:
    """One decoded request.

    Attributes:
        texts: the ``TEXT`` tensor, object array of the shape that the request gives.
        parameters: of the request.
        outputs: names wanted and whether each as raw bytes; empty for all.
        binary: whether outputs are raw where the request names none.
    """

    id: str | None
    texts: Rows
    parameters: dict[str, Any]
    outputs: dict[str, bool]
    binary: bool

    def is_binary(self, output: str) -> bool:
        """Whether this output goes out as raw bytes."""
        return self.outputs.get(output, self.binary)


def decode(body: bytes, json_length: str | None, check_rows: Callable[[int], None] = lambda _: None) -> InferRequest:
    """Decode a request.

    Args:
        body: JSON, then raw tensors.
        json_length: value of the header ``JSON_LENGTH``; None where the body is JSON alone.
        check_rows: given the number of texts before any of them is looked at; raises where it is too large.

    Raises:
        InputError: what is wrong with it; and what ``check_rows`` raises.
    """
    head = _length(json_length, "header " + JSON_LENGTH, len(body)) if json_length is not None else len(body)
    try:
        document = json.loads(body[:head])
    except (ValueError, RecursionError) as error:
        raise InputError("the request is not valid JSON") from error
    inputs = _get(document, "inputs", list, [])
    if len(inputs) != 1 or _get(inputs[0], "name", str, "") != INPUT.name:
        raise InputError(f"the request must have one input, {INPUT.name}")
    parameters = _get(document, "parameters", dict, {})
    for name in ("priority", "timeout"):  # Triton's queue reads them; here they only have to be what it takes
        value = parameters.get(name, 0)
        if type(value) is not int or value < 0:
            raise InputError(f"parameter {name} is {told(value)}, expected a whole number of at least 0")
    binary = parameters.get("binary_data_output", False) is True
    outputs = _outputs(_get(document, "outputs", list, []), binary)
    texts = _tensor(inputs[0], memoryview(body)[head:], check_rows)
    return InferRequest(_id(document), texts, parameters, outputs, binary)


def _outputs(given: list[Any], binary: bool) -> dict[str, bool]:
    """The outputs asked for, by name, and whether each as raw bytes, which ``binary`` says where it does not itself."""
    if len(given) > len(OUTPUTS):
        raise InputError(f"{len(given)} outputs are asked for, but there are {len(OUTPUTS)}: name each once")
    outputs: dict[str, bool] = {}
    for output in given:
        name = _get(output, "name", str, "")
        if name in outputs:
            raise InputError(f"output {told(name)} is asked for twice: name each once")
        asked = _get(output, "parameters", dict, {})
        for extension in ("classification", "shared_memory_region"):
            if asked.get(extension):
                raise InputError(f"outputs cannot be given as {extension}: ask for the tensor itself")
        outputs[name] = asked.get("binary_data", binary) is True
    return outputs


def _id(document: Any) -> str | None:
    """The caller's name of the request, which the answer repeats."""
    given: str | None = _get(document, "id", str, None)
    if given is not None and len(given) > ID_CHARACTERS:
        raise InputError(f"field 'id' has {len(given)} characters, at most {ID_CHARACTERS} are repeated: shorten it")
    return given


def encode(
    request: InferRequest, tensors: Mapping[str, Rows], specs: Mapping[str, TensorSpec], model: str, version: str
) -> tuple[bytes, int | None]:
    """Encode a response: the body, and the length of its JSON part where raw tensors follow."""
    outputs, raws = [], []
    for name, values in tensors.items():
        spec = specs[name]
        output: dict[str, Any] = {"name": name, "datatype": spec.datatype, "shape": list(values.shape)}
        if request.is_binary(name):
            raws.append(_pack(values) if spec.datatype == "BYTES" else values.astype("<f4").tobytes())
            output["parameters"] = {"binary_data_size": len(raws[-1])}
        else:
            output["data"] = [_plain(value) for value in values.ravel().tolist()]
        outputs.append(output)
    document: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": outputs}
    if request.id is not None:
        document["id"] = request.id
    head = json.dumps(document, allow_nan=False).encode()
    return (b"".join([head, *raws]), len(head)) if raws else (head, None)


def _tensor(tensor: Any, raw: memoryview, check_rows: Callable[[int], None]) -> Rows:
    shape = _get(tensor, "shape", list, [])
    check_shape(shape)
    if not all(type(size) is int and 0 <= size < 2**31 for size in shape):
        raise InputError(f"the shape of {INPUT.name} must be a list of sizes")
    check_rows(shape[0])
    if _get(tensor, "datatype", str, "") != INPUT.datatype:
        raise InputError(f"the datatype of {INPUT.name} must be {INPUT.datatype}")
    given = _get(tensor, "parameters", dict, {})
    if given.get("shared_memory_region"):
        raise InputError(f"{INPUT.name} cannot be given as shared_memory_region: send the texts themselves")
    size = given.get("binary_data_size")
    if size is not None:
        if _length(size, "binary_data_size", len(raw)) != len(raw):
            raise InputError(f"{len(raw)} bytes follow the JSON, but binary_data_size is {size}")
        elements: list[Any] = list(islice(_unpack(raw), shape[0] + 1))
    else:
        if len(raw):
            raise InputError(f"{len(raw)} bytes follow the JSON, but {INPUT.name} has no binary_data_size")
        elements = list(_flat(_get(tensor, "data", list, [])[: shape[0] + 1]))
    if len(elements) != shape[0]:
        has = f"more than {shape[0]}" if len(elements) > shape[0] else len(elements)
        raise InputError(f"the shape of {INPUT.name} is {shape}, but it has {has} elements")
    values = np.empty(len(elements), dtype=np.object_)
    values[:] = elements
    return values.reshape(shape)


def _flat(data: list[Any]) -> Iterator[str]:
    """The strings of ``data``, flat or one list per row."""
    for value in data:
        row = value if isinstance(value, list) else [value]
        if len(row) != 1 or not isinstance(row[0], str):
            raise InputError(f"the data of {INPUT.name} must be strings, one text per row")
        yield row[0]


def _unpack(raw: memoryview) -> Iterator[bytes]:
    """Elements of a raw BYTES tensor: each a little-endian uint32 length, then the bytes."""
    place = 0
    while place < len(raw):
        start = place + 4
        stop = start + struct.unpack_from("<I", raw, place)[0] if start <= len(raw) else len(raw) + 1
        if stop > len(raw):
            raise InputError(f"the raw bytes of {INPUT.name} end inside an element")
        yield bytes(raw[start:stop])
        place = stop


def _pack(values: Rows) -> bytes:
    return b"".join(part for value in values.ravel() for part in (struct.pack("<I", len(value)), value))


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _length(value: Any, name: str, limit: int) -> int:
    text = str(value)
    if not (text.isascii() and text.isdigit()) or len(text) > 12 or int(text) > limit:
        raise InputError(f"{name} must be a number of bytes, at most the {limit} that are there")
    return int(text)


def _get(record: Any, name: str, kind: type, default: Any) -> Any:
    """A field of a JSON object; a missing or null one is ``default``."""
    if not isinstance(record, dict):
        raise InputError(f"expected a JSON object with a field {name!r}")
    value = record.get(name)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise InputError(f"field {name!r} must be of JSON type {_JSON_TYPES[kind]}")
    return value


_JSON_TYPES: dict[type, str] = {list: "array", dict: "object", str: "string"}
