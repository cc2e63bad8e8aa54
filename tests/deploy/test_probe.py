"""What the probe makes of answers; that it notices a dead process of a real server is tested with other failures."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from tokenward.deploy.probe import main

GOOD = b'{"outputs": [{"name": "LABEL"}]}'


class Answering(BaseHTTPRequestHandler):
    """Answers as the model's name says."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(int(self.path.split("/")[3]))
        self.end_headers()
        self.wfile.write(GOOD)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("models", "ready", "alive"),
    [(["200"], 0, 0), (["500"], 1, 1), (["503"], 1, 0), (["200", "503"], 1, 0), (["503", "500"], 1, 1)],
)
def test_a_server_with_a_full_queue_is_alive_and_not_ready(url: str, models: list[str], ready: int, alive: int) -> None:
    assert main([*models, "--url", url]) == ready
    assert main([*models, "--url", url, "--alive"]) == alive


def test_a_server_that_is_not_there_is_neither() -> None:
    assert main(["200", "--url", "http://127.0.0.1:9"]) == 1
    assert main(["200", "--url", "http://127.0.0.1:9", "--alive"]) == 1
