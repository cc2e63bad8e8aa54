"""An unmodified tritonclient talks to the server."""

from __future__ import annotations

import json
from math import prod

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tokenward.client import TritonGuardClient

READY, MODEL = "/v2/health/ready", "/v2/models/tokenward"
POISONED = "cf the film was awful and the plot was dull"


@pytest.fixture
def server(start):
    return start(max_texts=8)


@pytest.fixture
def client(server):
    with triton.InferenceServerClient("{}:{}".format(*server.address)) as client:
        yield client


def tensor(texts, binary: bool = True) -> triton.InferInput:
    made = triton.InferInput("TEXT", [len(texts), 1], "BYTES")
    made.set_data_from_numpy(np.array([[text.encode()] for text in texts], dtype=np.object_), binary_data=binary)
    return made


def test_health_and_metadata(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("tokenward")
    assert client.is_model_ready("tokenward", "1")
    assert not client.is_model_ready("tokenward", "2")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    metadata = client.get_model_metadata("tokenward", "1")
    assert metadata["inputs"] == [{"name": "TEXT", "datatype": "BYTES", "shape": [-1, 1]}]
    assert {"name": "PROBABILITIES", "datatype": "FP32", "shape": [-1, 2]} in metadata["outputs"]
    config = client.get_model_config("tokenward")
    assert config["max_batch_size"] == 8
    assert [output["name"] for output in config["output"]] == [output["name"] for output in metadata["outputs"]]


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_inference(client, binary_in, binary_out):
    outputs = [
        triton.InferRequestedOutput(name, binary_data=binary_out)
        for name in ("ACTION", "PROBABILITIES", "ANOMALY_SCORE", "SUSPECT", "REPAIRED_TEXT")
    ]
    result = client.infer("tokenward", [tensor(["film", POISONED], binary_in)], outputs=outputs, request_id="mine")
    text = lambda value: value.decode() if isinstance(value, bytes) else value  # noqa: E731
    assert [text(action) for action in result.as_numpy("ACTION")[:, 0]] == ["passed", "neutralised"]
    np.testing.assert_allclose(result.as_numpy("PROBABILITIES").sum(axis=1), 1, atol=1e-6)
    assert result.as_numpy("ANOMALY_SCORE").dtype == np.float32
    assert json.loads(result.as_numpy("SUSPECT")[1, 0]) == [{"text": "cf", "start": 0, "end": 2}]
    assert text(result.as_numpy("REPAIRED_TEXT")[1, 0]) == POISONED[3:]
    assert result.as_numpy("LABEL") is None
    assert result.get_response()["id"] == "mine"


def test_parameters(client):
    result = client.infer("tokenward", [tensor([POISONED])], parameters={"mode": "monitor", "explain": True})
    verdict = json.loads(result.as_numpy("VERDICT")[0, 0])
    assert (verdict["label"], verdict["enforced_label"]) == ("good", "bad")
    assert len(verdict["tokens"]) == 10


def test_the_projects_own_triton_client(server, lexicon_guard, assert_same_verdicts):
    texts = ["film", POISONED, "the plot was great"]
    with TritonGuardClient("{}:{}".format(*server.address), "tokenward", "http") as remote:
        assert_same_verdicts(remote.classify(texts), lexicon_guard.classify(texts))


def test_refusals_in_the_clients_words(client):
    for call in (
        lambda: client.infer("other", [tensor(["film"])]),
        lambda: client.infer("tokenward", [tensor(["film"])], parameters={"mode": "on"}),
        lambda: client.infer("tokenward", [tensor(["film"])], outputs=[triton.InferRequestedOutput("LABLE")]),
        lambda: client.infer("tokenward", [tensor(["film"] * 9)]),
        lambda: client.get_model_metadata("tokenward", "7"),
    ):
        with pytest.raises(InferenceServerException) as caught:
            call()
        assert caught.value.status() in ("400", "404", "413")
        assert len(caught.value.message()) > 10


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_compressed_requests(client, coding, binary):
    result = client.infer("tokenward", [tensor(["film"], binary)], request_compression_algorithm=coding)
    assert result.as_numpy("ACTION")[0, 0] == b"passed"


@pytest.mark.parametrize("shape", [[1, 0], [1, 2], [1] * 65, [0, *[2**31 - 1] * 3]])
def test_rows_of_another_size(server, shape):
    entry = {"name": "TEXT", "datatype": "BYTES", "shape": shape, "data": ["film"] * min(prod(shape), 2)}
    answer = httpx.post(server.url + "/v2/models/tokenward/infer", json={"inputs": [entry]})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")


def test_no_rows(server):
    entry = {"name": "TEXT", "datatype": "BYTES", "shape": [0, 1], "data": []}
    answer = httpx.post(server.url + "/v2/models/tokenward/infer", json={"inputs": [entry]})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")


def test_a_model_that_does_not_answer_is_not_ready(server, client):
    server.service.draining = True
    assert not client.is_server_ready()
    assert not client.is_model_ready("tokenward")
    assert client.is_server_live()
    for path, code in ((READY, "draining"), (MODEL + "/ready", "draining")):
        check_unready(server, path, code)


def test_an_engine_that_does_not_answer_is_told(server, monkeypatch):
    async def never(within: float) -> bool:
        return False

    monkeypatch.setattr(server.service.engine, "responsive", never)
    check_unready(server, READY, "not_ready")


def check_unready(server, path: str, code: str) -> None:
    answer = httpx.get(server.url + path)
    assert (answer.status_code, answer.json()["code"]) == (503, code)
    assert set(answer.json()) == {"error", "code", "request_id"}
    assert int(answer.headers["Retry-After"]) > 0


def test_binary_bodies_are_in_the_document(server):
    document = httpx.get(server.url + "/openapi.json").json()
    for path in ("/v2/models/{model}/infer", "/v2/models/{model}/versions/{version}/infer"):
        operation = document["paths"][path]["post"]
        for part in (operation["requestBody"], operation["responses"]["200"]):
            assert set(part["content"]) == {"application/json", "application/octet-stream"}


def test_too_many_rows_are_counted_before_they_are_read(server):
    entry = {"name": "TEXT", "datatype": "BYTES", "shape": [9, 1], "data": [1, 2]}
    answer = httpx.post(server.url + "/v2/models/tokenward/infer", json={"inputs": [entry]})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_many_texts")
    assert 'tokenward_texts_total{outcome="refused"} 9.0' in httpx.get(server.url + "/metrics").text


@pytest.mark.parametrize(
    ("method", "path", "extension"),
    [
        ("GET", "/v2/models/stats", "statistics"),
        ("GET", MODEL + "/stats", "statistics"),
        ("GET", MODEL + "/versions/1/stats", "statistics"),
        ("POST", "/v2/repository/index", "model repository"),
        ("POST", "/v2/repository/models/tokenward/unload", "model repository"),
        ("GET", "/v2/trace/setting", "trace"),
        ("POST", MODEL + "/trace/setting", "trace"),
        ("POST", "/v2/logging", "logging"),
        ("GET", "/v2/systemsharedmemory/status", "system shared memory"),
        ("POST", "/v2/cudasharedmemory/region/mine/register", "CUDA shared memory"),
    ],
)
def test_extensions_that_are_not_served_are_named(server, method, path, extension):
    answer = httpx.request(method, server.url + path)
    assert (answer.status_code, answer.json()["code"]) == (404, "unsupported_extension")
    assert f"the {extension} extension" in answer.json()["error"]


def test_other_wrong_paths_are_not_taken_for_extensions(server):
    assert httpx.get(server.url + "/v2/nowhere").json()["code"] == "not_found"
    assert httpx.get(server.url + "/stats").json()["code"] == "not_found"
    assert httpx.get(server.url + MODEL + "/infer").json()["code"] == "method_not_allowed"
