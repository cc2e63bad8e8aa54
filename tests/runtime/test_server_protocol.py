"""What clients do on the wire that no HTTP library does for a test: bytes over a socket."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterable
from contextlib import suppress

import pytest

from tokenward.runtime.server_envelope import HEADERS
from tokenward.runtime.server_protocol import PIPELINED

BODY = b'{"texts": "film"}'
TOKEN = "a-token-of-24-characters"
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
LAST = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def post(body: bytes = BODY, headers: bytes = b"", length: bool = True) -> bytes:
    size = b"Content-Length: %d\r\n" % len(body) if length else b""
    return b"POST /v1/classify HTTP/1.1\r\nHost: x\r\n" + size + headers + b"\r\n" + body


def talk(address: tuple[str, int], parts: Iterable[bytes], pause: float = 0.02) -> bytes:
    """Send the parts one after the other and read until the server closes the connection."""
    with socket.create_connection(address, timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
        return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def statuses(answers: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3})", answers)]


CHUNKS = b"6\r\n" + BODY[:6] + b"\r\n%x\r\n" % len(BODY[6:]) + BODY[6:] + b"\r\n0\r\n\r\n"
OFFERED = {
    "small body": [post(headers=OFFER)],
    "body in packets": [post(b"", OFFER + b"Content-Length: %d\r\n" % len(BODY), False), BODY[:5], BODY[5:]],
    "header in packets": [post(headers=OFFER)[:90], post(headers=OFFER)[90:]],
    "byte by byte": [bytes([byte]) for byte in post(headers=OFFER)],
    "chunks": [post(CHUNKS, OFFER + b"Transfer-Encoding: chunked\r\n", False)],
    "chunks in packets": [post(b"", OFFER + b"Transfer-Encoding: chunked\r\n", False), CHUNKS[:9], CHUNKS[9:]],
    "large body": [post(b'{"texts": "' + b"film " * 4000 + b'"}', OFFER)],
}


@pytest.mark.parametrize("parts", OFFERED.values(), ids=OFFERED)
def test_an_offered_upgrade_costs_no_body(start, parts):
    pause = 0.002 if len(parts) > 9 else 0.02
    answers = talk(start().address, [*parts, LAST], pause)
    assert statuses(answers) == [200, 200], answers
    assert answers.count(b'"label"') == 1


def test_offers_among_pipelined_requests(start):
    requests = post() + post(headers=OFFER) + LAST.replace(b"Connection: close\r\n", OFFER) + post(headers=OFFER)
    answers = talk(start().address, [requests + LAST])
    assert statuses(answers) == [200] * 5
    assert answers.count(b'"label"') == 3


def test_thousands_of_offers_in_one_packet(start):
    offers = LAST.replace(b"Connection: close", b"Connection: Upgrade\r\nUpgrade: a") * 2000
    assert statuses(talk(start().address, [offers + LAST])) == [200] * PIPELINED + [429]


def test_a_client_that_waits_for_no_answer_holds_up_nobody(start):
    """Of so many, each once went through all that were waiting: that took a minute, in which nobody got an answer."""
    server = start()
    sent = LAST.replace(b"Connection: close\r\n", b"")
    answers = talk(server.address, [sent * 30_000], pause=0.0)
    assert statuses(answers) == [200] * PIPELINED + [429]
    assert b"requests wait on this connection" in answers
    assert statuses(talk(server.address, [sent * PIPELINED, LAST], pause=1.0)) == [200] * (PIPELINED + 1)


def test_nonsense_behind_a_request_is_refused_after_its_answer(start, caplog):
    server = start()
    for sent in ([post() + b"nonsense\r\n\r\n"], [post() * 3, b"nonsense\r\n\r\n"]):
        answers = talk(server.address, sent, pause=0.0)
        assert statuses(answers) == [200] * sum(part.count(b"POST") for part in sent) + [400]
        assert b"this is no HTTP request" in answers.rpartition(b"\r\n\r\n")[2]
    assert 'outcome="internal"' not in server.service.metrics.render().decode()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_an_offer_on_the_last_request(start):
    answers = talk(start().address, [post(headers=b"Connection: close, Upgrade\r\nUpgrade: h2c\r\n")])
    assert statuses(answers) == [200]
    assert b"connection: close" in answers.lower()


def test_an_offer_does_not_hide_what_is_wrong(start):
    both = OFFER + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"
    assert statuses(talk(start().address, [post(CHUNKS, both, False)])) == [400]


@pytest.mark.parametrize("request_line", [b"CONNECT x:80 HTTP/1.1", b"PRI * HTTP/2.0", b"\x16\x03\x01"])
def test_what_is_not_spoken_here(start, request_line):
    assert statuses(talk(start().address, [request_line + b"\r\nHost: x\r\n\r\n"])) == [400]


def trickle(connection: socket.socket) -> None:
    """Send a header without an end, a byte at a time, for some seconds."""
    connection.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
    for _ in range(200):
        connection.sendall(b"x")
        time.sleep(0.02)


@pytest.mark.parametrize("first", [b"", post()], ids=["first request", "second request"])
def test_a_header_that_trickles_in_is_cut_off(start, first):
    address = start(header_seconds=0.3).address
    with socket.create_connection(address, timeout=20) as connection:
        if first:
            connection.sendall(first)
            assert b" 200 " in connection.recv(65536)
        with pytest.raises(OSError, match=r"pipe|reset"):
            trickle(connection)


def test_a_connection_that_says_nothing_is_closed(start):
    began = time.monotonic()
    assert talk(start(header_seconds=0.3).address, []) == b""
    assert time.monotonic() - began < 5


def test_the_time_for_headers_is_no_limit_for_the_rest(start, engine):
    server = start(header_seconds=0.2)
    with socket.create_connection(server.address, timeout=20) as connection:
        for _ in range(2):
            engine.hold()
            connection.sendall(post(b"", b"Content-Length: %d\r\n" % len(BODY), False))
            time.sleep(0.4)  # a slow body
            connection.sendall(BODY)
            time.sleep(0.4)  # a slow answer
            engine.free.set()
            assert b" 200 " in connection.recv(65536)
            time.sleep(0.4)  # an idle connection
        connection.sendall(LAST)
        assert statuses(read_all(connection)) == [200]


def test_a_refusal_before_the_body_leaves_the_connection_usable(start):
    server = start(header_seconds=0.2, token=TOKEN)
    with socket.create_connection(server.address, timeout=20) as connection:
        connection.sendall(post(b"", b"Content-Length: %d\r\n" % len(BODY), False))
        assert b" 401 " in connection.recv(65536)
        connection.sendall(BODY)
        time.sleep(0.4)
        connection.sendall(LAST)
        assert statuses(read_all(connection)) == [200]


HEAD = b"POST /v1/classify HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n"
ENDLESS = {
    "many headers": HEAD + b"a:b\r\n" * 20_000,
    "one header": HEAD + b"a: " + b"b" * 100_000,
    "a long path": b"GET /" + b"a" * 100_000,
    "a long path that ends": b"GET /" + b"a" * 66_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a path and headers": b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\nx: " + b"b" * 6_000 + b"\r\n\r\n",
    "many trailers": CHUNKED + b"a:b\r\n" * 20_000,
    "one trailer": CHUNKED + b"a: " + b"b" * 200_000,
    "a chunk's extension": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;" + b"a" * 100_000,
}


@pytest.mark.parametrize("sent", ENDLESS.values(), ids=ENDLESS)
def test_headers_that_do_not_end_are_refused(start, sent):
    server = start()
    try:
        answer = talk(server.address, [sent[i : i + 30_000] for i in range(0, len(sent), 30_000)], 0.001)
        assert b'"code": "header_too_large"' in answer
        assert statuses(answer) == [431]
    except (BrokenPipeError, ConnectionResetError):
        pass  # closed while there was more to come, which may take the answer with it
    assert statuses(talk(server.address, [LAST])) == [200]


def test_long_bodies_and_long_headers_within_the_limit_are_read(start):
    body = b'{"texts": "' + b"film " * 3_000 + b'"}'
    header = b"X-Long: " + b"a" * 60_000 + b"\r\n"
    chunks = b"".join(b"%x\r\n%b\r\n" % (1, body[i : i + 1]) for i in range(len(body))) + b"0\r\n\r\n"
    sent = post(body, header) + post(chunks, b"Transfer-Encoding: chunked\r\n", False) + LAST
    answers = talk(start().address, [sent[i : i + 9_000] for i in range(0, len(sent), 9_000)], 0.0)
    assert statuses(answers) == [200, 200, 200]


def test_what_is_no_request_is_told_as_everything_is(start):
    answer = talk(start().address, [b"nonsense\r\n\r\n"])
    head, _, body = answer.partition(b"\r\n\r\n")
    assert statuses(head) == [400]
    told = json.loads(body)
    assert set(told) == {"error", "code", "request_id"}
    headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert headers[b"x-request-id"] == told["request_id"].encode()
    assert headers[b"content-length"] == str(len(body)).encode()
    assert set(dict(HEADERS)) <= set(headers)


def test_what_the_parser_refuses_is_counted(start):
    server = start()
    talk(server.address, [b"nonsense\r\n\r\n"])
    counted = server.service.metrics.render().decode()
    assert 'tokenward_requests_total{outcome="bad_request",route="other"} 1.0' in counted


def test_who_does_not_read_is_cut_off(start):
    server = start(read_seconds=0.3)
    page = b"text=" + b"%22" * 15_000
    asked = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(page) + page
    connections = server._server.server_state.connections
    with socket.create_connection(server.address, timeout=20) as connection:
        with suppress(OSError):  # cut off already
            connection.sendall(asked * 400)  # 60 MB of answers, more than the system keeps
        until = time.monotonic() + 20
        while connections and time.monotonic() < until:
            time.sleep(0.02)
        assert not connections
    assert statuses(talk(server.address, [post(), LAST])) == [200, 200]


def test_a_slow_reader_gets_all_of_it(start):
    server = start(read_seconds=5, max_characters=20_000)
    text = b"text=" + b"%22" * 19_000
    asked = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(text) + text
    answers = b""
    with socket.create_connection(server.address, timeout=20) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(asked + LAST)
        while part := connection.recv(20_000):
            answers += part
            time.sleep(0.005)
    assert statuses(answers) == [200, 200]


def test_who_asks_for_several_things_and_leaves_is_no_fault_of_ours(start, caplog):
    server = start()
    for _ in range(3):
        with socket.create_connection(server.address, timeout=20) as connection:
            connection.sendall(post() * 20)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closed by a reset
    answers = talk(server.address, [post(), LAST])
    assert statuses(answers) == [200, 200]
    with socket.create_connection(server.address, timeout=20) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b'outcome="internal"' not in read_all(connection)
    assert "Traceback" not in caplog.text
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
