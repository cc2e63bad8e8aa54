"""Hours in minutes: mixed load on a server, watched for anything that grows."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from .http_load import Address, Connection, Load, classify_request, closed_loop, open_loop
from .served import Footprint, served

WARM_UP = 0.2  # share of the time after which growth counts: by then every buffer has had its largest batch
RUDE_SECONDS = 0.5


@dataclass(frozen=True)
class SoakReport:
    """What a server held when it was warm and at the end.

    Attributes:
        statuses: of all requests, those that were meant to be refused included.
        dropped: texts that the server dropped since their client had gone.
    """

    warm: Footprint
    end: Footprint
    statuses: Counter[int]
    dropped: float
    minutes: float

    @property
    def growth(self) -> float:
        """Of resident memory, as a share."""
        return self.end.megabytes / self.warm.megabytes - 1

    @property
    def flat(self) -> bool:
        """No more than 10 % more memory, and no more threads or files but for the odd connection."""
        return self.growth <= 0.1 and self.end.threads <= self.warm.threads and self.end.files <= self.warm.files + 8


def soak(
    artifact: Path, texts: Sequence[str], minutes: float = 10.0, progress: Callable[[str], None] | None = None
) -> SoakReport:
    """Keep a server at 60 % of what it can do: short and long texts, many and one, all modes, explanations, nonsense.

    Beside that, clients connect, send a request and go away before the answer.

    Raises:
        EngineError: the server did not start.
    """
    requests = _mixed(texts, random.Random(0))
    with served(artifact) as server:

        async def run() -> SoakReport:
            rate = (await closed_loop(server.address, requests, 16)).rate * 0.6
            begin, end = monotonic(), monotonic() + 60 * minutes
            rude = asyncio.create_task(_rude(server.address, requests[0]))
            statuses: Counter[int] = Counter()
            warm = server.footprint()
            while (now := monotonic()) < end:
                if now < begin + WARM_UP * 60 * minutes:
                    warm = server.footprint()
                load: Load = await open_loop(server.address, requests, rate, min(10.0, end - now), seed=int(now))
                statuses += load.statuses
                if progress:
                    progress(f"{server.footprint().megabytes:.0f} MB")
            rude.cancel()
            await asyncio.gather(rude, return_exceptions=True)
            dropped = server.metric("tokenward_texts_total", outcome="dropped")
            return SoakReport(warm, server.footprint(), statuses, dropped, minutes)

        return asyncio.run(run())


def _mixed(texts: Sequence[str], draw: random.Random) -> list[bytes]:
    requests = [classify_request(text, mode=draw.choice(["enforce", "enforce", "monitor", "off"])) for text in texts]
    for _ in range(max(1, len(texts) // 10)):
        several = draw.sample(texts, min(8, len(texts)))
        requests += [
            classify_request(several),
            classify_request(" ".join(several)),
            classify_request(several[0], explain=True),
            classify_request(several[0], mode="nonsense"),
            classify_request("x" * 50_000),
        ]
    draw.shuffle(requests)
    return requests


async def _rude(address: Address, request: bytes) -> None:
    """Send requests and hang up."""
    while True:
        connection = Connection(address)
        asking = asyncio.create_task(connection.ask(request))
        await asyncio.sleep(0.002)
        connection.close()
        await asyncio.gather(asking, return_exceptions=True)
        await asyncio.sleep(RUDE_SECONDS)
