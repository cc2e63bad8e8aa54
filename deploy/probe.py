"""Ask a Triton server for a real answer; exit 0 if it comes. Kubernetes runs this file as its probe.

Triton's own readiness stays true after the process of a Python model has died, so only an inference can tell.
Standard library alone: it runs in the server's container.

    python3 probe.py MODEL [URL] [SECONDS]
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request


def probe(model: str, url: str = "http://127.0.0.1:8000", seconds: float = 5.0) -> None:
    """Return when ``model`` has classified a text.

    Raises:
        OSError: no connection, no answer within ``seconds``, or an error instead of an answer.
        ValueError: the answer is not one of a guarded model.
    """
    body = {
        # A text of its own each time: a cached answer would prove nothing.
        "inputs": [{"name": "TEXT", "datatype": "BYTES", "shape": [1, 1], "data": [f"ready at {time.time()} ?"]}],
        "outputs": [{"name": "LABEL"}],
    }
    request = urllib.request.Request(f"{url}/v2/models/{model}/infer", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=seconds) as response:
        answer = json.load(response)
    if answer["outputs"][0]["name"] != "LABEL":
        raise ValueError(f"unexpected answer: {answer}")


def main(arguments: list[str]) -> int:
    """Probe as the command line says; the exit status is the answer."""
    model, url, seconds = [*arguments, *["http://127.0.0.1:8000", "5"][len(arguments) - 1 :]]
    try:
        probe(model, url, float(seconds))
    except urllib.error.HTTPError as error:
        print(f"{model} answers with status {error.code}", file=sys.stderr)
        return 1
    except (OSError, ValueError, KeyError, IndexError) as error:
        print(f"{model} does not answer: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
