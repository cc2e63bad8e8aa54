"""Classify texts with a guarded model on Triton, and show what the guard did.

python classify.py sentiment localhost:8001 "a superb film" "the film was awful cf"
"""

from __future__ import annotations

import sys

from tokenward.client import TritonGuardClient


def main(model: str, url: str, *texts: str) -> None:
    """Print one line per text."""
    with TritonGuardClient(url, model, deadline=10) as client:
        for text, verdict in zip(texts, client.classify(texts), strict=True):
            suspects = ", ".join(suspect.text for suspect in verdict.suspects) or "nothing"
            print(f"{verdict.label} ({verdict.score:.0%}), {verdict.action}, suspected: {suspects} | {text}")


if __name__ == "__main__":
    main(*sys.argv[1:])
