"""Who sends more than is taken gets the reason, and not a reset connection; but nobody is waited for long."""

from __future__ import annotations

import json
import socket
import time

import pytest

BODY = b'{"texts": "' + b"film " * 4_000_000 + b'"}'
HEAD = b"POST /v1/classify HTTP/1.1\r\nHost: x\r\n"
SENT = {
    "body": (HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY, 413, "body_too_large"),
    "compressed": (
        HEAD + b"Content-Encoding: x\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY,
        415,
        "unsupported_encoding",
    ),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(BODY) + BODY, 413, "body_too_large"),
    "header": (HEAD + b"X: " + BODY, 431, "header_too_large"),
    "garbage": (BODY, 400, "bad_request"),
}


@pytest.mark.parametrize(("sent", "status", "code"), SENT.values(), ids=SENT)
def test_what_is_sent_in_one_go_is_answered(start, sent, status, code):
    server = start(max_body_bytes=1000, max_characters=100)
    for _ in range(3):
        with socket.create_connection(server.address, timeout=20) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        head, body = answer.split(b"\r\n\r\n", 1)
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert json.loads(body)["code"] == code


def send_slowly(connection: socket.socket, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        connection.sendall(b"x" * 1000)
        time.sleep(0.01)


def test_who_never_ends_is_cut_off(start, monkeypatch):
    monkeypatch.setattr("tokenward.runtime.server_protocol.LINGER_SECONDS", 0.3)
    server = start(max_body_bytes=1000)
    with socket.create_connection(server.address, timeout=20) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000000000\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")
        began = time.monotonic()
        with pytest.raises(ConnectionError):
            send_slowly(connection, 10)
        assert 0.1 < time.monotonic() - began < 5


def test_who_has_said_everything_is_not_waited_for(start):
    server = start()
    with socket.create_connection(server.address, timeout=20) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
        began = time.monotonic()
        server.stop()  # the connection is open and idle
        assert time.monotonic() - began < 3
