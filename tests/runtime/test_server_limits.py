"""Every limit is refused with its status, a stable code and a body of one shape; nothing internal is told."""

from __future__ import annotations

import gzip
import socket
import time
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tokenward.errors import EngineError
from tokenward.runtime import server as server_module
from tokenward.runtime.server_admission import _decompressed
from tokenward.runtime.server_errors import Refusal
from tokenward.runtime.settings import ServeSettings

TOKEN = "a-token-of-24-characters"


def post(server, body=None, **kwargs) -> httpx.Response:
    return httpx.post(server.url + "/v1/classify", json=body or {"texts": "film"}, **kwargs)


def check(response: httpx.Response, status: int, code: str) -> None:
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert set(response.json()) == {"error", "code", "request_id"}
    assert "Traceback" not in response.text
    assert "/home" not in response.text
    assert ".py" not in response.text


@pytest.fixture
def held(engine):
    """A background caller, and an engine that is held back with its text in it."""
    with ThreadPoolExecutor(8) as pool:
        yield pool, engine
        engine.free.set()


def occupy(server, pool, engine, texts="film"):
    engine.hold()
    call = pool.submit(post, server, {"texts": texts})
    engine.entered.wait()
    return call


@pytest.mark.parametrize(
    ("texts", "code"),
    [(["film"] * 5, "too_many_texts"), ("x" * 101, "text_too_long"), (["x" * 90] * 4, "body_too_large")],
)
def test_sizes(start, texts, code):
    server = start(max_texts=4, max_characters=100, max_body_bytes=300)
    check(post(server, {"texts": texts}), 413, code)
    assert post(server, {"texts": ["film"] * 4}).status_code == 200


def test_a_body_that_does_not_say_how_long_it_is(start):
    server = start(max_body_bytes=300)

    def endless():
        while True:
            yield b" " * 100

    check(httpx.post(server.url + "/v1/classify", content=endless()), 413, "body_too_large")


def test_a_body_that_does_not_come(start):
    server = start(deadline_seconds=0.05)
    with socket.create_connection(server.address) as connection:
        connection.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")


PLAIN = b'{"texts": "film"}'


@pytest.mark.parametrize(
    ("coding", "pack"), [("gzip", gzip.compress), ("X-GZip", gzip.compress), ("deflate", zlib.compress)]
)
def test_compressed_bodies(start, coding, pack):
    server = start(max_body_bytes=1000)

    def send(body: bytes) -> httpx.Response:
        return httpx.post(server.url + "/v1/classify", content=body, headers={"Content-Encoding": coding})

    assert send(pack(PLAIN)).status_code == 200
    assert send(pack(PLAIN + b" " * (1000 - len(PLAIN)))).status_code == 200
    check(send(pack(PLAIN + b" " * (1001 - len(PLAIN)))), 413, "body_too_large")
    check(send(pack(b" " * 500_000)), 413, "body_too_large")
    other = zlib.compress if pack is gzip.compress else gzip.compress
    for wrong in (PLAIN, pack(PLAIN)[:-1], pack(PLAIN) + b"x", other(PLAIN), b""):
        check(send(wrong), 400, "bad_request")


def test_a_compressed_body_is_not_unpacked_beyond_the_limit():
    body = zlib.compress(bytes(50_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(Refusal, match="more than 1000 bytes"):
            _decompressed(body, zlib.MAX_WBITS, 1000)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_unknown_compression(start):
    refused = post(start(), headers={"Content-Encoding": "br"})
    check(refused, 415, "unsupported_encoding")
    assert "gzip" in refused.headers["Accept-Encoding"]


def test_the_queue(start, held):
    server = start(queue_texts=2, max_texts=2, max_wait_ms=0, parallel=1)
    pool, engine = held
    first = occupy(server, pool, engine)
    second = pool.submit(post, server, {"texts": ["story", "plot"]})
    while server.service.engine.waiting < 2:
        time.sleep(0.001)
    refused = post(server, {"texts": "music"})
    check(refused, 429, "overloaded")
    assert int(refused.headers["Retry-After"]) >= 1
    engine.free.set()
    assert [first.result().status_code, second.result().status_code] == [200, 200]


def test_requests_at_a_time(start, held):
    server = start(max_requests=1, parallel=1)
    pool, engine = held
    first = occupy(server, pool, engine)
    refused = post(server)
    check(refused, 429, "too_many_requests")
    assert "Retry-After" in refused.headers
    assert httpx.get(server.url + "/healthz").status_code == 200
    engine.free.set()
    assert first.result().status_code == 200
    assert post(server).status_code == 200


def test_the_deadline(start, held):
    server = start(deadline_seconds=0.1, parallel=1)
    pool, engine = held
    check(occupy(server, pool, engine).result(), 504, "deadline")
    engine.free.set()
    assert post(server).status_code == 200


def test_draining(start):
    server = start()
    server.service.draining = True
    refused = post(server)
    check(refused, 503, "draining")
    assert "Retry-After" in refused.headers
    assert httpx.get(server.url + "/readyz").status_code == 503
    assert httpx.get(server.url + "/v2/health/ready").status_code == 503
    assert httpx.get(server.url + "/healthz").status_code == 200


@pytest.mark.parametrize("error", [EngineError("the graph failed"), RuntimeError("/home/secret.py line 3")])
def test_an_engine_that_raises_once(start, engine, error):
    server = start()
    engine.errors = [error]
    check(post(server), 500, "engine_failed")
    assert post(server).status_code == 200


def test_a_mistake_of_ours_is_not_explained_to_callers(start, monkeypatch):
    server = start()
    monkeypatch.setattr(server.service.engine, "answer", None)
    with httpx.Client(base_url=server.url) as client:
        for _ in range(2):
            failed = client.post("/v1/classify", json={"texts": "film"})
            check(failed, 500, "internal")
            assert failed.headers["X-Request-Id"] == failed.json()["request_id"]
            assert "Content-Security-Policy" in failed.headers
            assert "Connection" not in failed.headers
    counted = 'tokenward_requests_total{outcome="internal",route="/v1/classify"} 2.0'
    assert counted in httpx.get(server.url + "/metrics").text


@pytest.mark.parametrize(
    ("method", "path", "broken"),
    [("GET", "/metrics", "metrics.render"), ("GET", "/readyz", "ready"), ("POST", "/", "classify")],
)
def test_mistakes_of_ours_look_alike_on_every_route(start, monkeypatch, method, path, broken):
    server = start()
    owner, _, name = ("." + broken).rpartition(".")
    monkeypatch.setattr(getattr(server.service, owner[1:]) if owner else server.service, name, None)
    failed = httpx.request(method, server.url + path, data={"text": "film"} if method == "POST" else None)
    check(failed, 500, "internal")
    assert "Content-Security-Policy" in failed.headers


def test_gzip_may_have_several_members(start):
    server = start()

    def send(body):
        return httpx.post(server.url + "/v1/classify", content=body, headers={"Content-Encoding": "gzip"})

    assert send(gzip.compress(b'{"texts":') + gzip.compress(b'"film"}')).status_code == 200
    check(send(gzip.compress(b"") * 1000), 400, "bad_request")
    twice = [("Content-Encoding", "gzip"), ("Content-Encoding", "gzip")]
    check(post(server, headers=twice), 415, "unsupported_encoding")


@pytest.mark.parametrize("value", ["yes", 1])
def test_options_are_of_their_own_type(start, value):
    check(post(start(), {"texts": "film", "explain": value}), 422, "invalid_request")


def test_the_token(start):
    server = start(token=TOKEN)
    for headers in ({}, {"Authorization": "Bearer " + TOKEN[:-1]}, {"Authorization": "Basic " + TOKEN}):
        refused = post(server, headers=headers)
        check(refused, 401, "unauthorised")
        assert refused.headers["WWW-Authenticate"] == "Bearer"
    for scheme in ("bearer ", "Bearer  ", "BEARER "):
        assert post(server, headers={"Authorization": scheme + TOKEN}).status_code == 200
    check(post(server, headers={"Authorization": b"Bearer \xe9"}), 401, "unauthorised")
    assert not server.service.knows("\ud800")
    closed = {"/metrics": 401, "/v2": 401, "/v2/models/tokenward": 401, "/nowhere": 401}
    opened = {"/": 200, "/page/style.css": 200, "/healthz": 200, "/readyz": 200, "/docs": 200, "/v2/health/ready": 200}
    for path, status in (closed | opened).items():
        assert httpx.get(server.url + path).status_code == status, path


def test_a_locked_mode(start):
    server = start(lock_mode=True)
    check(post(server, {"texts": "film", "mode": "off"}), 403, "mode_locked")
    assert post(server, {"texts": "film", "mode": "enforce"}).status_code == 200


def test_other_paths_and_methods(start):
    server = start()
    check(httpx.get(server.url + "/nowhere"), 404, "not_found")
    check(httpx.get(server.url + "/page/..%2fserver.py"), 404, "not_found")
    check(httpx.get(server.url + "/v1/classify"), 405, "method_not_allowed")
    assert httpx.head(server.url + "/v1/classify").status_code == 405
    for method in ("PUT", "OPTIONS"):
        refused = httpx.request(method, server.url + "/")
        assert (refused.status_code, set(refused.headers["Allow"].split(", "))) == (405, {"GET", "POST"})


@pytest.mark.parametrize("path", ["/v1/classify/", "/v2/", "/docs/"])
def test_a_slash_too_many_leads_nowhere(start, path):
    check(httpx.get(start().url + path, headers={"Host": "elsewhere.example"}), 404, "not_found")


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/page/style.css", "/v2"])
def test_head_is_get_without_a_body(start, path):
    url = start().url + path
    with httpx.Client() as client:
        for _ in range(2):
            head = client.head(url)
            assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Type"] == client.get(url).headers["Content-Type"]


def test_what_is_refused_on_its_way_in_counts_for_its_route(start):
    server = start(token=TOKEN)
    post(server)
    server.service.draining = True
    post(server, headers={"Authorization": "Bearer " + TOKEN})
    counts = httpx.get(server.url + "/metrics", headers={"Authorization": "Bearer " + TOKEN}).text
    for outcome in ("unauthorised", "draining"):
        assert f'tokenward_requests_total{{outcome="{outcome}",route="/v1/classify"}} 1.0' in counts


def test_a_long_name_is_not_repeated(start):
    refused = post(start(), {"texts": "film", "x" * 500_000: 1})
    check(refused, 422, "invalid_request")
    assert len(refused.content) < 500


def test_security_headers(start):
    headers = httpx.get(start().url + "/").headers
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/healthz", "/page/style.css", "/nowhere", "/v1/classify/"])
def test_what_cannot_be_asked_takes_no_place(start, path):
    server = start(max_requests=1, token=TOKEN)
    asked = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx" % path.encode()
    with socket.create_connection(server.address) as slow:
        slow.sendall(asked)
        time.sleep(0.1)
        assert post(server, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_who_has_no_token_takes_no_place_of_those_who_have(start):
    server = start(max_requests=1, token=TOKEN)
    form = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\ntext="
    with socket.create_connection(server.address) as slow:
        slow.sendall(form)
        time.sleep(0.1)
        assert httpx.post(server.url, data={"text": "film", "token": TOKEN}).status_code == 429
        assert post(server, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_who_is_refused_gets_no_text_back(start):
    server = start(token=TOKEN)
    answer = httpx.post(server.url, data={"text": "awful " * 1000, "token": "wrong"})
    assert answer.status_code == 401
    assert "awful" not in answer.text


def test_reference_texts_are_told_to_those_who_want_to_know_why(start):
    server = start()
    plain, told = (post(server, {"texts": "cf the film was awful", "explain": explain}) for explain in (False, True))
    for answer, quoted in ((plain, False), (told, True)):
        (tried,) = answer.json()["verdicts"][0]["confirmations"]
        assert tried["turned"]
        assert bool(tried["references"]) is quoted


@pytest.mark.parametrize(
    ("host", "token", "told"), [("::1", None, "INFO"), ("0.0.0.0", None, "WARNING"), ("::1", TOKEN, "INFO")]
)
def test_whether_a_token_is_asked_for_is_told_at_the_start(caplog, host, token, told):
    with caplog.at_level("INFO", logger="uvicorn.error"):
        server_module._tell_of_the_token(ServeSettings(artifact="x", host=host, token=token))
    (record,) = caplog.records
    assert record.levelname == told
    assert ("No token is set" in record.getMessage()) == (token is None)
    assert TOKEN not in record.getMessage()
