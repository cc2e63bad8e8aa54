"""Ask a Triton server for real answers; exit 0 if they come. Kubernetes runs this file as its probe.

Triton's own readiness stays true after the process of a Python model has died, so only an inference can tell.
Standard library alone: it runs in the server's container.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence

LOCAL = "http://127.0.0.1:8000"


def probe(model: str, url: str = LOCAL, seconds: float = 5.0) -> None:
    """Return when ``model`` has classified a text.

    Raises:
        OSError: no connection, no answer within ``seconds``, or an error instead of an answer.
        ValueError: the answer is not one of a guarded model.
    """
    body = {
        "inputs": [{"name": "TEXT", "datatype": "BYTES", "shape": [1, 1], "data": ["ready?"]}],
        "outputs": [{"name": "LABEL"}],
        "parameters": {"mode": "off"},  # runs tokenizer and graph, and counts for no metric that people watch
    }
    request = urllib.request.Request(f"{url}/v2/models/{model}/infer", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=seconds) as response:
        answer = json.load(response)
    if answer["outputs"][0]["name"] != "LABEL":
        raise ValueError(f"unexpected answer: {answer}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Probe as the command line says; the exit status is the answer."""
    parser = argparse.ArgumentParser(description="Exit 0 if every model classifies a text.")
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--url", default=LOCAL)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each model")
    parser.add_argument("--alive", action="store_true", help="an answer that says to come again will do")
    asked = parser.parse_args(arguments)
    for model in asked.models:
        try:
            probe(model, asked.url, asked.seconds)
        except (OSError, ValueError, KeyError, IndexError) as error:
            if asked.alive and isinstance(error, urllib.error.HTTPError) and error.code == 503:
                continue  # its queue is full: a restart would only lose what waits in it
            print(f"{model} does not answer: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
