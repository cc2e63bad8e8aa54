"""The client without a server: what it sends, when it gives up, what it makes of errors."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from tritonclient.utils import InferenceServerException

from tokenward.client import (
    LONGEST_WAIT,
    AsyncTritonGuardClient,
    DeadlineError,
    TritonGuardClient,
    _Patience,
    verdict_from_json,
)
from tokenward.errors import ArtifactError, EngineError, InputError
from tokenward.runtime.v2_tensors import outputs_of
from tokenward.runtime.verdict import Confirmation, Suspect, TokenScore, Verdict

VERDICT = Verdict(
    "bad",
    {"bad": 0.75, "good": 0.25},
    "neutralised",
    "good",
    "bad",
    1.5,
    0.5,
    suspects=(Suspect("çf", 3, 5),),
    repaired_text="a film",
    confirmations=(Confirmation("çf", (True, False), ("a", "b"), 0.1, 1.2, True, True),),
    tokens=(TokenScore("a", 0, 1, 0.5, None, None, None),),
)


def unavailable(status: str = "StatusCode.UNAVAILABLE") -> InferenceServerException:
    return InferenceServerException("busy", status=status)


def test_a_verdict_survives_the_wire():
    (sent,) = outputs_of([VERDICT])["VERDICT"][0]
    assert verdict_from_json(sent) == VERDICT


@pytest.mark.parametrize("text", ["[]", "{}", '{"label": 3}', "nonsense", '"label"'])
def test_what_is_no_verdict_is_refused(text: str):
    with pytest.raises((ArtifactError, ValueError)):
        verdict_from_json(text)


@pytest.mark.parametrize(
    "error",
    [
        unavailable(),
        unavailable("503"),
        unavailable("429"),
        ConnectionRefusedError(),
        InferenceServerException("gone", status="StatusCode.DEADLINE_EXCEEDED"),
    ],
)
def test_waits_grow_until_the_deadline(error: Exception):
    patience = _Patience(time.monotonic() + 1000)
    waits = [patience.after(error, "host:1", known=False) for _ in range(10)]
    assert all(0 < wait <= LONGEST_WAIT for wait in waits)
    assert waits[0] < 0.1 < LONGEST_WAIT / 2 <= waits[-1]
    with pytest.raises(DeadlineError, match="no answer from host:1 before the deadline"):
        _Patience(time.monotonic()).after(error, "host:1", known=False)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (unavailable("StatusCode.INVALID_ARGUMENT"), InputError),
        (unavailable("400"), InputError),
        (unavailable("404"), InputError),
        (unavailable("StatusCode.NOT_FOUND"), InputError),
        (unavailable("StatusCode.INTERNAL"), EngineError),
        (unavailable("500"), EngineError),
        (TypeError("a mistake of ours"), TypeError),
    ],
)
def test_what_no_waiting_helps_is_raised_at_once(error: Exception, kind: type[Exception]):
    with pytest.raises(kind) as raised:
        _Patience(time.monotonic() + 1000).after(error, "host:1", known=False)
    assert not isinstance(raised.value, DeadlineError)


@pytest.mark.parametrize("status", ["404", "StatusCode.NOT_FOUND"])
def test_a_model_that_answered_before_is_waited_for(status: str):
    assert _Patience(time.monotonic() + 1000).after(unavailable(status), "host:1", known=True) > 0


@pytest.mark.parametrize("wrong", [{"wire": "smtp"}, {"deadline": 0}, {"deadline": float("nan")}, {"batch": 0}])
def test_wrong_settings(wrong: dict[str, Any]):
    with pytest.raises(InputError):
        TritonGuardClient("127.0.0.1:9", "guard", **wrong)
    with pytest.raises(InputError, match="give host and port alone"):
        TritonGuardClient("http://127.0.0.1:9", "guard", "http")


@pytest.mark.parametrize("text", ["\ud800", 3])
def test_what_is_no_text_never_leaves(text: Any):
    with TritonGuardClient("127.0.0.1:9", "guard") as client, pytest.raises(InputError, match="valid Unicode"):
        client.classify([text])


@pytest.mark.parametrize("error", [TimeoutError(), asyncio.TimeoutError()])
def test_a_slow_server_is_told_apart_from_none(error: Exception):
    with pytest.raises(DeadlineError, match="before the deadline: the server did not answer in time"):
        _Patience(time.monotonic()).after(error, "host:1", known=False)


async def test_after_a_failure_nothing_is_asked_any_more():
    class Server:
        asked, ended = 0, 0

        async def infer(self, **_: Any) -> None:
            number, self.asked = self.asked, self.asked + 1
            try:
                if number == 1:
                    raise unavailable("400")
                await asyncio.sleep(60)
            finally:
                self.ended += 1

        async def close(self) -> None:
            pass

    async with AsyncTritonGuardClient("127.0.0.1:9", "guard", batch=1) as client:
        await client._client.close()
        client._client = server = Server()
        with pytest.raises(InputError, match="the server refuses"):
            await client.classify(["film"] * 20)
        assert 0 < server.asked == server.ended <= 9
        server.asked = server.ended = 0
        with pytest.raises(InputError, match="valid Unicode"):
            await client.classify(["film", "\ud800"])
        await asyncio.sleep(0)
        assert server.asked == 0


def test_no_texts_need_no_server():
    with TritonGuardClient("127.0.0.1:9", "guard") as client:
        assert client.classify([]) == []
