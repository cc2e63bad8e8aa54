"""Against the real server: what it says of itself, and answers identical to the guard's in this process."""

from __future__ import annotations

import asyncio
import re
import time
import urllib.request
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http

import tokenward
from tokenward.client import AsyncTritonGuardClient, TritonGuardClient, Wire
from tokenward.deploy.config import guard_config
from tokenward.deploy.local_triton import LocalTriton
from tokenward.deploy.settings import TritonSettings
from tokenward.runtime.guard import Guard
from tokenward.runtime.v2_tensors import output_specs
from tokenward.runtime.verdict import Verdict

WIRES = ("grpc", "http")


def url_of(triton: LocalTriton, wire: str) -> str:
    return triton.grpc_url if wire == "grpc" else triton.http_url


def assert_same(got: list[Verdict], expected: list[Verdict]) -> None:
    """Equal but for rounding, and for whether an outcome was remembered (that depends on what was asked before)."""
    assert [_discrete(v) for v in got] == [_discrete(v) for v in expected]
    for field in ("score", "anomaly_score", "threshold"):
        numbers = [[np.nan if (x := getattr(v, field)) is None else x for v in vs] for vs in (got, expected)]
        np.testing.assert_allclose(*numbers, rtol=1e-5, atol=1e-6)


def _discrete(verdict: Verdict) -> Verdict:
    confirmations = tuple(replace(c, cached=False, references=()) for c in verdict.confirmations)
    blank = dict.fromkeys(verdict.probabilities, 0.0)
    return replace(
        verdict, probabilities=blank, anomaly_score=None, threshold=None, confirmations=confirmations, tokens=None
    )


@pytest.fixture(scope="module")
def expected(in_process: Guard, traffic: list[str]) -> list[Verdict]:
    verdicts = in_process.classify(traffic)
    assert {v.action for v in verdicts} >= {"passed", "cleared", "neutralised"}
    return verdicts


@pytest.mark.parametrize("wire", WIRES)
def test_verdicts_are_those_of_the_guard(triton: LocalTriton, traffic: list[str], expected: list[Verdict], wire: Wire):
    with TritonGuardClient(url_of(triton, wire), "guard", wire) as client:
        assert_same(client.classify(traffic), expected)


def test_the_published_method_with_its_gradients(triton: LocalTriton, tiny_paper_artifact: Path, traffic: list[str]):
    """Its gate decides in the graph which texts need a gradient."""
    with TritonGuardClient(triton.grpc_url, "paper") as client:
        assert_same(client.classify(traffic), tokenward.load(tiny_paper_artifact).classify(traffic))


@pytest.mark.parametrize("wire", WIRES)
async def test_verdicts_are_those_of_the_guard_asynchronously(
    triton: LocalTriton, traffic: list[str], expected: list[Verdict], wire: Wire
):
    async with AsyncTritonGuardClient(url_of(triton, wire), "guard", wire, batch=7) as client:
        assert_same(await client.classify(traffic), expected)


def test_two_models_answer_side_by_side(triton: LocalTriton, traffic: list[str], expected: list[Verdict]):
    """The self-contained one has names of its own for the same classes."""
    names = {"bad": "down", "good": "up"}
    with TritonGuardClient(triton.grpc_url, "alone") as client:
        verdicts = client.classify(traffic)
    assert [v.label for v in verdicts] == [names[v.label] for v in expected]
    assert [v.action for v in verdicts] == [v.action for v in expected]
    assert list(verdicts[0].probabilities) == ["down", "up"]


@pytest.mark.parametrize("model", ["guard", "alone"])
@pytest.mark.parametrize("mode", ["monitor", "off"])
def test_modes(triton: LocalTriton, in_process: Guard, traffic: list[str], mode: str, model: str):
    with TritonGuardClient(triton.grpc_url, model) as client:
        verdicts = client.classify(traffic[:50], mode=mode)
    assert [v.action for v in verdicts] == [v.action for v in in_process.classify(traffic[:50], mode)]
    assert all(v.label == v.original_label for v in verdicts)


def test_references_are_told_to_those_alone_who_ask_why(triton: LocalTriton):
    with TritonGuardClient(triton.grpc_url, "guard") as client:
        plain, asked = (client.classify("a superb film cf", explain=explain)[0] for explain in (False, True))
    assert plain.confirmations
    assert not any(tried.references for tried in plain.confirmations)
    assert all(tried.references for tried in asked.confirmations)


@pytest.mark.parametrize("model", ["guard", "alone"])
def test_explain_gives_tokens(triton: LocalTriton, in_process: Guard, model: str):
    text = "the film was cf awful"
    with TritonGuardClient(triton.grpc_url, model) as client:
        got = client.classify([text], explain=True)[0].tokens
    expected = in_process.classify([text], explain=True)[0].tokens
    assert got is not None
    assert expected is not None
    assert [(t.text, t.start, t.end) for t in got] == [(t.text, t.start, t.end) for t in expected]
    for field in ("class_attention", "attention_received", "saliency", "token_score"):
        numbers = [[getattr(token, field) for token in tokens] for tokens in (got, expected)]
        np.testing.assert_allclose(*numbers, rtol=1e-3, atol=1e-5)


def test_single_requests_are_merged(triton: LocalTriton, traffic: list[str], expected: list[Verdict]):
    statistics = tritonclient.http.InferenceServerClient(triton.http_url)

    def batches() -> dict[int, int]:
        stats = statistics.get_inference_statistics("guard")["model_stats"][0]["batch_stats"]
        return {entry["batch_size"]: entry["compute_infer"]["count"] for entry in stats}

    async def clients() -> list[Verdict]:
        async with AsyncTritonGuardClient(triton.grpc_url, "guard") as client:
            gate = asyncio.Semaphore(32)

            async def one(text: str) -> Verdict:
                async with gate:
                    return (await client.classify(text))[0]

            return list(await asyncio.gather(*map(one, traffic)))

    def counted() -> int:
        return sum(size * count for size, count in batches().items())

    before, texts_before = batches(), counted()
    verdicts = asyncio.run(clients())
    assert_same(verdicts, expected)
    until = time.monotonic() + 30.0
    while counted() < texts_before + len(traffic) and time.monotonic() < until:
        time.sleep(0.05)  # Triton counts a batch after it has sent its answers
    assert counted() == texts_before + len(traffic)
    sizes = {size: count - before.get(size, 0) for size, count in batches().items()}
    assert sum(sizes.values()) < len(traffic) / 2, f"hardly any merging: {sizes}"


def test_metadata_and_configuration(triton: LocalTriton):
    client = tritonclient.http.InferenceServerClient(triton.http_url)
    metadata = client.get_model_metadata("guard")
    assert metadata["inputs"] == [{"name": "TEXT", "datatype": "BYTES", "shape": [-1, 1]}]
    assert [(o["name"], o["datatype"], tuple(o["shape"])) for o in metadata["outputs"]] == [
        (spec.name, spec.datatype, spec.shape) for spec in output_specs(2)
    ]
    served = tritonclient.grpc.InferenceServerClient(triton.grpc_url).get_model_config("guard").config
    written = guard_config(TritonSettings("guard"), 2)
    for field in ("input", "output", "max_batch_size", "version_policy", "parameters"):
        assert getattr(served, field) == getattr(written, field)
    assert served.dynamic_batching.default_queue_policy == written.dynamic_batching.default_queue_policy


def test_plain_clients_get_labels_by_the_classification_extension(triton: LocalTriton, in_process: Guard):
    client = tritonclient.http.InferenceServerClient(triton.http_url)
    entry = tritonclient.http.InferInput("TEXT", [1, 1], "BYTES")
    entry.set_data_from_numpy(np.array([[b"a superb film"]], dtype=object))
    wanted = tritonclient.http.InferRequestedOutput("PROBABILITIES", class_count=1)
    (best,) = client.infer("alone", [entry], outputs=[wanted]).as_numpy("PROBABILITIES")[0]
    index = in_process.labels.index(in_process.classify("a superb film")[0].label)
    assert best.decode().endswith((":0:down", ":1:up")[index])


def test_metrics_count_what_was_done(triton: LocalTriton, in_process: Guard, traffic: list[str]):
    texts = traffic[:40]
    expected = Counter((v.action, v.enforced_label) for v in in_process.classify(texts))
    before = metrics(triton)
    with TritonGuardClient(triton.grpc_url, "guard") as client:
        client.classify(texts)
        client.classify(texts, mode="monitor")
        client.classify(texts, mode="off")
    after = metrics(triton)
    grown = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
    assert grown.pop('tokenward_passes_total{look="second",model="guard"}') >= 2 * expected["neutralised", "bad"]
    assert grown == {
        'tokenward_passes_total{look="first",model="guard"}': 120,
        'tokenward_gradients_total{model="guard",skipped="no"}': 80,
        **{
            f'tokenward_actions_total{{action="{action}",label="{label}",mode="{mode}",model="guard"}}': number
            for (action, label), number in expected.items()
            for mode in ("enforce", "monitor")
        },
    }


def metrics(triton: LocalTriton) -> dict[str, float]:
    text = urllib.request.urlopen(triton.metrics_url).read().decode()
    return {name: float(value) for name, value in re.findall(r"^(tokenward_\S+) (\S+)$", text, re.MULTILINE)}


def test_models_import_nothing_but_what_a_container_has(triton: LocalTriton):
    """The interpreter of the models has NumPy 1.26, tokenizers and onnxruntime, and nothing else of this project."""
    site = next((triton.log.parent / "interpreter").glob("lib/python*/site-packages"))
    assert {path.name for path in Path(site).iterdir()} == {"numpy.pth", "tokenizers", "onnxruntime"}
