from __future__ import annotations

import asyncio
import json
import math
from contextlib import asynccontextmanager

import pytest

from tokenward.bench.http_load import LOST, Connection, Load, classify_request, closed_loop, open_loop


@asynccontextmanager
async def answering(statuses, seen=None, close=False, delay=0.0):
    """A server that gives these statuses in turn."""

    async def handle(reader, writer):
        while head := await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b"":
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            if seen is not None:
                seen.append(json.loads(body)["texts"])
            await asyncio.sleep(delay)
            status = next(statuses)
            extra = b"Connection: close\r\n" if close else b""
            writer.write(b"HTTP/1.1 %d X\r\n%sContent-Length: 2\r\n\r\n{}" % (status, extra))
            if close:
                break
        writer.close()

    async def forgiving(reader, writer):
        try:
            await handle(reader, writer)
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(forgiving, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()


def forever(*statuses):
    while True:
        yield from statuses


@pytest.mark.parametrize("close", [False, True])
async def test_closed_loop_sends_every_request_once(close):
    seen: list[str] = []
    async with answering(forever(200, 200, 429), seen, close) as address:
        load = await closed_loop(address, [classify_request(str(n)) for n in range(30)], 4)
    assert sorted(seen, key=int) == [str(n) for n in range(30)]
    assert load.statuses == {200: 20, 429: 10}
    assert len(load.latencies) == 20
    assert load.rate == pytest.approx(20 / load.seconds)


async def test_open_loop_does_not_wait_for_answers():
    async with answering(forever(200), delay=0.2) as address:
        load = await open_loop(address, [classify_request("a")], rate=200, seconds=0.3)
    assert load.statuses[200] > 30
    assert load.percentile(50) >= 190


async def test_a_server_that_is_not_there_is_counted():
    async with answering(forever(200)) as address:
        pass
    assert await Connection(address).ask(classify_request("a")) == LOST


def test_percentiles():
    load = Load(seconds=2.0)
    assert math.isnan(load.percentile(50))
    for number in range(101):
        load.add(200, number / 1000)
    load.add(504, 99.0)
    assert [load.percentile(p) for p in (1, 50, 99)] == pytest.approx([1, 50, 99])
