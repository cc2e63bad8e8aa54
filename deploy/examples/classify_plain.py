"""The same over plain HTTP with the standard library alone: what any other language would send.

python classify_plain.py sentiment http://localhost:8000 "the film was awful cf"
"""

from __future__ import annotations

import json
import sys
import urllib.request


def main(model: str, url: str, *texts: str) -> None:
    """Print label and action of each text."""
    request = {
        "inputs": [{"name": "TEXT", "datatype": "BYTES", "shape": [len(texts), 1], "data": list(texts)}],
        "outputs": [{"name": "LABEL"}, {"name": "ACTION"}],
        "parameters": {"mode": "enforce"},
    }
    body = json.dumps(request).encode()
    with urllib.request.urlopen(f"{url}/v2/models/{model}/infer", body) as response:
        outputs = {output["name"]: output["data"] for output in json.load(response)["outputs"]}
    for label, action, text in zip(outputs["LABEL"], outputs["ACTION"], texts, strict=True):
        print(f"{label}, {action} | {text}")


if __name__ == "__main__":
    main(*sys.argv[1:])
