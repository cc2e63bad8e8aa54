"""Classify the lines of standard input as fast as the server takes them, in order.

    python classify_stream.py sentiment localhost:8001 < texts.txt > verdicts.jsonl

Many requests are under way at once, so that the server can merge them into batches.
"""

from __future__ import annotations

import asyncio
import json
import sys
from itertools import islice

from tokenward.client import AsyncTritonGuardClient

AT_ONCE = 1024


async def main(model: str, url: str) -> None:
    """Print one verdict as JSON per line of input."""
    lines = (line.rstrip("\n") for line in sys.stdin)
    async with AsyncTritonGuardClient(url, model) as client:
        while texts := list(islice(lines, AT_ONCE)):
            for verdict in await client.classify(texts):
                print(json.dumps(verdict.to_dict(), ensure_ascii=False))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
