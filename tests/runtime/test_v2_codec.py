from __future__ import annotations

import json
import struct

import numpy as np
import pytest
import tritonclient.http as triton
from hypothesis import given
from hypothesis import strategies as st

from tokenward.errors import InputError
from tokenward.runtime import v2_codec
from tokenward.runtime.v2_codec import decode, encode
from tokenward.runtime.v2_tensors import output_specs

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=50), min_size=1, max_size=5)
SPECS = {spec.name: spec for spec in output_specs(2)}


def body(**changes) -> bytes:
    tensor = {"name": "TEXT", "shape": [1, 1], "datatype": "BYTES", "data": ["film"]}
    document = {"inputs": [tensor | changes.pop("tensor", {})]} | changes
    return json.dumps(document).encode()


@given(TEXTS, st.booleans())
def test_what_tritonclient_sends_is_read(texts, binary):
    tensor = triton.InferInput("TEXT", [len(texts), 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[t.encode()] for t in texts], dtype=np.object_), binary_data=binary)
    sent, head = triton.InferenceServerClient.generate_request_body([tensor], parameters={"mode": "off"})
    request = decode(sent.encode() if isinstance(sent, str) else sent, None if head is None else str(head))
    assert [v if isinstance(v, str) else v.decode() for v in request.texts[:, 0]] == texts
    assert request.parameters["mode"] == "off"
    assert request.is_binary("LABEL")


@given(
    TEXTS, st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=5), st.booleans()
)
def test_what_is_sent_is_read_by_tritonclient(texts, numbers, binary):
    wanted = {"LABEL": binary, "ANOMALY_SCORE": not binary}
    request = decode(
        body(id="7", outputs=[{"name": n, "parameters": {"binary_data": b}} for n, b in wanted.items()]), None
    )
    tensors = {
        "LABEL": np.array([[t.encode()] for t in texts], dtype=np.object_),
        "ANOMALY_SCORE": np.array(numbers, dtype=np.float32)[:, None],
    }
    sent, head = encode(request, tensors, SPECS, "model", "1")
    result = triton.InferenceServerClient.parse_response_body(sent, header_length=head)
    labels = result.as_numpy("LABEL")[:, 0]
    assert [v if isinstance(v, str) else v.decode() for v in labels] == texts
    scores = result.as_numpy("ANOMALY_SCORE")
    np.testing.assert_array_equal(scores, tensors["ANOMALY_SCORE"])
    assert result.get_response()["id"] == "7"


def test_a_long_name_of_a_request_is_not_repeated():
    assert decode(body(id="x" * 256), None).id == "x" * 256
    with pytest.raises(InputError, match="257 characters, at most 256"):
        decode(body(id="x" * 257), None)


@pytest.mark.parametrize(
    "tensor",
    [
        {"name": "TXET"},
        {"datatype": "FP32"},
        {"shape": [2, 1]},
        {"shape": [-1, 1]},
        {"shape": [1.0, 1]},
        {"shape": [True, 1]},
        {"shape": "11"},
        {"shape": [10**30, 0]},
        {"shape": [1] * 65},
        {"shape": [0, *[2**31 - 1] * 3], "data": []},
        {"data": ["film", "story"]},
        {"data": [1]},
        {"data": [["film", "story"]]},
        {"data": {"0": "film"}},
        {"parameters": []},
        {"parameters": {"binary_data_size": 4}},
        {"parameters": {"binary_data_size": -1}},
        {"parameters": {"binary_data_size": "x"}},
    ],
)
def test_tensors_that_make_no_sense(tensor):
    with pytest.raises(InputError):
        decode(body(tensor=tensor), None)


@pytest.mark.parametrize(
    "changes", [{"inputs": []}, {"inputs": [1]}, {"inputs": {}}, {"parameters": 1}, {"outputs": ["LABEL"]}, {"id": 7}]
)
def test_requests_that_make_no_sense(changes):
    with pytest.raises(InputError):
        decode(body(**changes), None)


@pytest.mark.parametrize("asked", [{"classification": 1}, {"shared_memory_region": "mine"}])
def test_outputs_that_are_not_given_like_that(asked):
    with pytest.raises(InputError, match=next(iter(asked))):
        decode(body(outputs=[{"name": "LABEL", "parameters": asked}]), None)


def test_an_input_in_shared_memory_is_told_to_be_none():
    region = {"shared_memory_region": "mine", "shared_memory_byte_size": 8}
    with pytest.raises(InputError, match="TEXT cannot be given as shared_memory_region"):
        decode(body(tensor={"data": None, "parameters": region}), None)


@pytest.mark.parametrize("name", ["priority", "timeout"])
def test_what_tritons_queue_reads_must_be_what_it_takes(name):
    for value in ("x", -1, 1.5, True, None):
        with pytest.raises(InputError, match=f"parameter {name} is"):
            decode(body(parameters={name: value}), None)
    assert decode(body(parameters={name: 1_000_000}), None).parameters == {name: 1_000_000}


@pytest.mark.parametrize("raw", [b"\x05\0\0\0film", b"\xff\xff\xff\xff", b"\x04\0\0", b"\x04\0\0\0film\x01"])
def test_raw_bytes_that_end_too_early(raw):
    head = body(tensor={"data": None, "parameters": {"binary_data_size": len(raw)}})
    with pytest.raises(InputError, match="inside an element"):
        decode(head + raw, str(len(head)))


@pytest.mark.parametrize(("own", "binary"), [({}, True), ({"binary_data": False}, False)])
def test_the_form_of_all_outputs_is_that_of_each_unless_it_says_otherwise(own, binary):
    outputs = [{"name": "LABEL", "parameters": own}]
    request = decode(body(outputs=outputs, parameters={"binary_data_output": True}), None)
    assert request.is_binary("LABEL") == binary


def test_json_that_is_nested_too_deep():
    with pytest.raises(InputError, match="not valid JSON"):
        decode(b"[" * 100_000, None)


@pytest.mark.parametrize("length", ["-1", "x", "", "99999", "1e2", "٣"])
def test_a_header_that_makes_no_sense(length):
    with pytest.raises(InputError):
        decode(body(), length)


@given(st.binary(max_size=200), st.none() | st.integers(-5, 300).map(str))
def test_arbitrary_bytes_never_break_the_decoder(sent, length):
    with pytest.raises(InputError):
        decode(sent, length)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("TEXT") | JSON,
        "shape": st.just([1, 1]) | JSON,
        "datatype": st.just("BYTES") | JSON,
        "data": st.just(["film"]) | JSON,
        "parameters": st.just({"binary_data_size": 8}) | JSON,
    },
)


@given(
    FIELDS,
    st.sampled_from([b"", struct.pack("<I", 4) + b"film", b"\0"]),
    st.fixed_dictionaries({}, optional={"parameters": JSON, "outputs": JSON, "id": JSON}),
)
def test_nearly_right_requests_are_read_or_refused(tensor, raw, others):
    head = json.dumps({"inputs": [tensor], **others}).encode()
    try:
        request = decode(head + raw, str(len(head)))
    except InputError:
        return
    assert request.texts.dtype == np.object_
    assert all(isinstance(value, (bytes, str)) for value in request.texts.ravel())


class _Untouched(list):
    """A list that may be measured but not read through."""

    def __iter__(self):
        raise AssertionError("it is read")

    __repr__ = __iter__


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tensor": {"shape": [1] * 990_000}}, "shape a list of 990000, expected"),
        ({"tensor": {"shape": [3, 1], "data": [""] * 600_000}}, "more than 3 elements"),
        ({"outputs": [{"name": "LABEL"}] * 100_000}, "100000 outputs are asked for, but there are 7"),
        ({"parameters": {"priority": [1] * 900_000}}, "priority is a list of 900000, expected"),
    ],
)
def test_of_a_long_list_no_more_is_read_than_its_length(monkeypatch, changes, told):
    sent = body(**changes)
    monkeypatch.setattr(json, "loads", lambda text: _watched(parse(text.decode())))
    parse = json.JSONDecoder().decode
    with pytest.raises(InputError, match=told):
        decode(sent, None)


def _watched(value):
    if isinstance(value, dict):
        return {name: _watched(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return _Untouched(value) if len(value) > 1_000 else [_watched(inner) for inner in value]
    return value


def test_the_number_of_texts_is_checked_before_they_are_read():
    def refuse(rows: int) -> None:
        raise OverflowError(rows)

    for tensor in ({"shape": [9, 1], "data": [1, 2]}, {"shape": [9, 1], "parameters": {"binary_data_size": 3}}):
        with pytest.raises(OverflowError, match="9"):
            decode(body(tensor=tensor), None, refuse)


def test_raw_elements_beyond_the_shape_are_not_unpacked(monkeypatch):
    unpacked = []
    monkeypatch.setattr(v2_codec, "_unpack", lambda raw: (unpacked.append(n) or b"" for n in range(len(raw) // 4)))
    head = body(tensor={"shape": [2, 1], "data": None, "parameters": {"binary_data_size": 400_000}})
    with pytest.raises(InputError, match="more than 2 elements"):
        decode(head + bytes(400_000), str(len(head)))
    assert len(unpacked) == 3


def test_an_output_is_named_once():
    with pytest.raises(InputError, match="'LABEL' is asked for twice"):
        decode(body(outputs=[{"name": "LABEL"}, {"name": "LABEL"}]), None)
