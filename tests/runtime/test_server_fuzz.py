"""Whatever is sent, the answer is defined: schemathesis follows the document, hypothesis sends odd texts."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlencode

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)


schema = schemathesis.openapi.from_path(Path(__file__).parents[2] / "openapi.json")


@schema.parametrize()
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_the_api_keeps_to_its_document(client, case):
    case.call_and_validate(base_url=str(client.base_url), checks=CHECKS)


ODD = st.one_of(
    st.text(),
    st.sampled_from(
        ["", " ", "\n\t\u2003", "\0", "a\0b", "🎬👩‍👩‍👧", "\u202eolleh", "مرحبا cf", "e\u0301" * 50, "\ufeff", "##x"]
    ),
    st.builds(lambda part, count: part * count, st.sampled_from(["cf ", "🙂", "x", " ", "\0"]), st.integers(1, 4000)),
)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=ODD, explain=st.booleans())
def test_odd_texts_get_an_answer_or_a_refusal(client, text, explain):
    body = json.dumps({"texts": text, "explain": explain})
    answer = client.post("/v1/classify", content=body, headers={"Content-Type": "application/json"})
    if any("\ud800" <= character <= "\udfff" for character in text):
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
        return
    assert answer.status_code == 200, answer.text
    (verdict,) = answer.json()["verdicts"]
    assert verdict["label"] in ("bad", "good")
    page = client.post("/", content=urlencode({"text": text}))
    assert page.status_code == 200


def test_a_megabyte(client):
    refused = client.post("/v1/classify", json={"texts": "a" * 1_000_000})
    assert (refused.status_code, refused.json()["code"]) == (413, "text_too_long")
    refused = client.post("/v1/classify", json={"texts": "a" * 3_000_000})
    assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")


def test_lone_surrogates(client):
    for body in (b'{"texts": "\\ud800"}', b'{"texts": ["a", "\\udc00\\ud800"]}', b'{"texts": "\xed\xa0\x80"}'):
        answer = client.post("/v1/classify", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422)
    entry = {"name": "TEXT", "datatype": "BYTES", "shape": [1, 1], "data": ["\ud800"]}
    answer = client.post(
        "/v2/models/tokenward/infer",
        content=json.dumps({"id": "\ud800", "inputs": [entry]}),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 400
