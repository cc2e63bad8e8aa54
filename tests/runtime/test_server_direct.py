"""What is answered directly is answered as FastAPI would."""

from __future__ import annotations

import json

import httpx
import pytest

from tokenward.runtime.server_direct import Direct

TENSOR = {"name": "TEXT", "shape": [1, 1], "datatype": "BYTES", "data": ["cf the film was awful"]}
V1, V2 = "/v1/classify", "/v2/models/tokenward/infer"


def _direct(server) -> Direct:
    layer = server.app.outermost
    while not isinstance(layer, Direct):
        layer = layer.app
    return layer


@pytest.fixture
def both(start):
    """A server, and one that has every request go through FastAPI; what they are asked they have seen before."""
    quick, usual = start(), start()
    for server in (quick, usual):
        httpx.post(server.url + V1, json={"texts": TENSOR["data"]})
    table = _direct(usual)._routes
    assert set(table) == {V1, V2, "/v2/models/tokenward/versions/1/infer"}
    table.clear()
    return quick, usual


def _answer(server, method: str, path: str, body: object) -> tuple[int, object, dict[str, str]]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = httpx.request(method, server.url + path, content=content, headers={"X-Request-Id": "mine"})
    found = answer.json() if answer.content else None
    if isinstance(found, dict):
        found.pop("timing", None)
    headers = {name: value for name, value in answer.headers.items() if name not in ("date", "content-length")}
    return answer.status_code, found, headers


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", V1, {"texts": "cf the film was awful"}, 200),
        ("POST", V1 + "?a=b", {"texts": ["film"], "mode": "monitor", "explain": True}, 200),
        ("POST", V1, {"texts": 3}, 422),
        ("POST", V1, b"{", 422),
        ("POST", V1, {"texts": ["film"] * 5000}, 413),
        ("POST", V1 + "/", {"texts": "film"}, 404),
        ("PUT", V1, {"texts": "film"}, 405),
        ("POST", V2, {"inputs": [TENSOR]}, 200),
        ("POST", V2, {"id": "7", "inputs": [TENSOR], "outputs": [{"name": "LABEL"}]}, 200),
        ("POST", V2, {"inputs": [TENSOR], "outputs": [{"name": "NOTHING"}]}, 400),
        ("POST", V2, {"inputs": []}, 400),
        ("POST", "/v2/models/tokenward/versions/1/infer", {"inputs": [TENSOR]}, 200),
        ("POST", "/v2/models/tokenward/versions/2/infer", {"inputs": [TENSOR]}, 404),
        ("POST", "/v2/models/another/infer", {"inputs": [TENSOR]}, 404),
        ("POST", "/v2/models/{model}/infer", {"inputs": [TENSOR]}, 404),
    ],
)
def test_both_ways_lead_to_one_answer(both, method, path, body, status):
    quick, usual = (_answer(server, method, path, body) for server in both)
    assert quick == usual
    assert quick[0] == status


def test_both_ways_count_for_one_route(both):
    for server in both:
        for path in (V1, V2, "/v2/models/another/infer"):
            httpx.post(server.url + path, json={"texts": "film"})
    lines = [
        [line for line in httpx.get(server.url + "/metrics").text.splitlines() if "requests_total{" in line]
        for server in both
    ]
    assert lines[0] == lines[1]
    assert any('outcome="ok",route="/v1/classify"' in line for line in lines[0])


def test_a_model_may_have_any_name_that_settings_allow(start):
    server = start(model_name="sst-2_v1.0")
    answer = httpx.post(server.url + "/v2/models/sst-2_v1.0/infer", json={"inputs": [TENSOR]})
    assert answer.json()["model_name"] == "sst-2_v1.0"
