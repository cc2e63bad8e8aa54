from __future__ import annotations

from typing import Any

import pytest

from tokenward.deploy.settings import TritonSettings
from tokenward.errors import InputError


def test_defaults_are_sound():
    assert TritonSettings("sentiment-v2.1_b").graph_name == "sentiment-v2.1_b_graph"


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"name": ""}, "model name ''"),
        ({"name": "../up"}, "model name '../up'"),
        ({"name": "x" * 101}, "100 at most"),
        ({"max_batch": 0}, "max-batch is 0, expected 1 to 4096"),
        ({"queue_delay_us": -1}, "queue-delay-us is -1"),
        ({"queue_size": -1}, "queue-size"),
        ({"queue_timeout_ms": 10**9}, "queue-timeout-ms"),
        ({"instances": 0}, "instances"),
        ({"gpus": -1}, "gpus"),
        ({"threads": -1}, "threads"),
        ({"max_text_bytes": 0}, "max-text-bytes"),
        ({"mode": "on"}, "expected one of enforce, monitor, off"),
        ({"fallback": "panic"}, "expected one of repair, flag, block"),
        ({"self_contained": True, "gpus": 1}, "runs on CPU"),
        ({"labels": ("a", "a")}, "name one class twice"),
        ({"labels": ("a", " ")}, "empty"),
        ({"labels": ("a", "b\nc")}, "control characters"),
    ],
)
def test_wrong_choices_are_named(choice: dict[str, Any], words: str):
    with pytest.raises(InputError, match=words):
        TritonSettings(**{"name": "guard", **choice})
