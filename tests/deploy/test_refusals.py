"""What clients get wrong is refused as theirs, in words, and the server keeps serving."""

from __future__ import annotations

import queue
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from tokenward.client import TritonGuardClient
from tokenward.deploy.local_triton import LocalTriton
from tokenward.errors import InputError
from tokenward.runtime.guard import Guard

LEAKS = re.compile(r"Traceback|\.py|/tmp|/home|line \d+")
ONE = np.array([[b"a superb film"]], dtype=object)

# what is wrong: what is sent, and what the answer must say
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "mode": ({"parameters": {"mode": "on"}}, "expected one of enforce, monitor, off"),
    "explain": ({"parameters": {"explain": "yes"}}, "parameter explain is 'yes', expected true or false"),
    "truncate": ({"parameters": {"truncate": False}, "values": np.array([[b"film " * 99]], dtype=object)}, "64 tokens"),
    "input name": ({"name": "TEXTS"}, "unexpected inference input 'TEXTS'"),
    "output name": ({"output": "NOPE"}, "unexpected inference output 'NOPE'"),
    "no batch axis": ({"values": ONE[0]}, r"Expected \[-1,1\], got \[1\]"),
    "two columns": ({"values": np.tile(ONE, (1, 2))}, r"Expected \[-1,1\], got \[1,2\]"),
    "type": ({"values": np.zeros((1, 1), np.float32), "datatype": "FP32"}, "expects 'BYTES'"),
    "empty batch": ({"values": ONE[:0]}, "expected 1 string elements"),
    "oversized batch": ({"values": np.tile(ONE, (33, 1))}, "batch-size must be <= 32"),
    "invalid UTF-8": ({"values": np.array([[b"fine"], [b"\xff\xfe"]], dtype=object)}, "TEXT row 1 is not valid UTF-8"),
    "long text": ({"values": np.array([[b"film " * 4001]], dtype=object)}, "20005 bytes, at most 20000 are taken"),
}


@pytest.fixture(scope="module", params=["grpc", "http"])
def plain(request: pytest.FixtureRequest, triton: LocalTriton) -> Iterator[tuple[Any, Any]]:
    """tritonclient itself, since ours does not make such mistakes."""
    module = {"grpc": tritonclient.grpc, "http": tritonclient.http}[request.param]
    with module.InferenceServerClient(triton.grpc_url if request.param == "grpc" else triton.http_url) as client:
        yield module, client


def infer(
    plain: tuple[Any, Any],
    values: NDArray[Any] = ONE,
    name: str = "TEXT",
    datatype: str = "BYTES",
    output: str = "LABEL",
    parameters: dict[str, Any] | None = None,
) -> Any:
    module, client = plain
    entry = module.InferInput(name, list(values.shape), datatype)
    entry.set_data_from_numpy(values)
    wanted = [module.InferRequestedOutput(output)]
    return client.infer("guard", [entry], outputs=wanted, parameters=parameters).as_numpy(output)


@pytest.mark.parametrize("wrong", WRONG)
def test_refused_in_words_and_still_serving(plain: tuple[Any, Any], in_process: Guard, wrong: str):
    sent, words = WRONG[wrong]
    with pytest.raises(InferenceServerException, match=words) as refusal:
        infer(plain, **sent)
    assert refusal.value.status() in ("400", "StatusCode.INVALID_ARGUMENT")
    assert not LEAKS.search(str(refusal.value))
    assert infer(plain).item().decode() == in_process.classify(ONE.item().decode())[0].label


def test_unknown_model(triton: LocalTriton):
    with TritonGuardClient(triton.http_url, "nope", "http") as client, pytest.raises(InputError, match="'nope'"):
        client.classify("a film")


def test_a_refused_request_spares_the_others_in_its_batch(triton: LocalTriton, in_process: Guard):
    """One of the merged requests refuses truncation of a text that is too long."""
    long, short = "film " * 99, "a superb film"
    client = tritonclient.grpc.InferenceServerClient(triton.grpc_url)
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()

    def entry(text: str) -> list[Any]:
        tensor = tritonclient.grpc.InferInput("TEXT", [1, 1], "BYTES")
        tensor.set_data_from_numpy(np.array([[text.encode()]], dtype=object))
        return [tensor]

    def store(result: Any, error: Any) -> None:
        answers.put((result, error))

    for text in (short, long) * 8:
        client.async_infer("guard", entry(text), store, parameters={"truncate": False})
    got = [answers.get(timeout=30) for _ in range(16)]
    client.close()
    refused = [str(error.status()) for _, error in got if error]
    assert refused == ["StatusCode.INVALID_ARGUMENT"] * 8
    answered = [result.as_numpy("LABEL").item().decode() for result, error in got if not error]
    assert answered == [in_process.classify(short)[0].label] * 8


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=200), min_size=1, max_size=8))
def test_odd_texts_get_the_guards_answer(triton: LocalTriton, in_process: Guard, texts: list[str]):
    with TritonGuardClient(triton.grpc_url, "guard") as client:
        got = client.classify(texts)
    assert [(v.label, v.action, v.suspects) for v in got] == [
        (v.label, v.action, v.suspects) for v in in_process.classify(texts)
    ]
