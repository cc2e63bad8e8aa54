"""Every family at parity with autograd, in every form of the graph, on the session that serves it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from tests.export.test_packing import whole_products
from tokenward.export.assembly import guard_graph
from tokenward.export.discovery import discover
from tokenward.export.forward import FAMILIES
from tokenward.export.ground_truth import AutogradTruth
from tokenward.export.presets import ExportSettings, plan
from tokenward.export.random_texts import RandomTexts
from tokenward.export.session import run_graph, serving_session
from tokenward.export.validation import validate

# A name is a model type, and a pooling where a family has several (see conftest.py).
MODELS = (
    *("bert", "roberta", "xlm-roberta", "distilbert", "albert", "electra", "deberta", "deberta-v2", "mpnet"),
    *("deberta-v2 conv", "modernbert", "modernbert mean", "gpt2 last"),
)
POOLINGS = {"modernbert mean": "mean", "gpt2 last": "last"}
FORMS = {
    "full": ExportSettings("paper", narrowed=False, gated=False, merged=False, packed=False),
    "narrowed": ExportSettings("paper", gated=False),
    "gated": ExportSettings("paper"),
    "late": ExportSettings("late"),
    "attention gated": ExportSettings("tokenward"),
}


def test_every_supported_family_is_tested() -> None:
    assert {name.split()[0] for name in MODELS} == set(FAMILIES)


@pytest.mark.parametrize("name", MODELS)
def test_parity_with_autograd(name, tiny, table, tmp_path: Path) -> None:
    model = tiny(name)
    for form, settings in FORMS.items():
        graph = model.graph()
        layout = discover(graph.graph)
        assert layout.pooling == POOLINGS.get(name, "class")
        chosen = plan(settings, len(layout.attention))
        assert guard_graph(graph, layout, chosen, table) == (form != "full")
        assert bool(whole_products(graph.graph)) == (form == "full"), "products with weights are for real tokens alone"
        if form == "narrowed":
            queries = [node.outputs[0].shape[-2] for node in graph.graph if node.op_type == "Softmax"]
            assert queries.count(1) == (layout.pooling == "class"), "the class token's row has a softmax of its own"
        path = tmp_path / f"{form}.onnx"
        ir.save(graph, path)
        truth = AutogradTruth(model.source, chosen.gradient_layer)
        parity = validate(path, truth, chosen, layout.pooling, RandomTexts(table, model.pad_id, 62))
        assert max(parity.values()) <= 1e-4, form
        assert set(parity) == {
            *("logits", "class_attention", "attention_received", "saliency", "token_scores", "anomaly_score"),
            *(("class_attention_by_layer",) if chosen.by_layer else ()),
        }


@pytest.fixture(scope="module", params=["paper", "tokenward"])
def session(request, tiny, table, tmp_path_factory: pytest.TempPathFactory):
    graph = tiny("bert").graph()
    layout = discover(graph.graph)
    guard_graph(graph, layout, plan(ExportSettings(request.param), 2), table)
    path = tmp_path_factory.mktemp("guarded") / f"{request.param}.onnx"
    ir.save(graph, path)
    return serving_session(path)


def test_a_text_scores_the_same_alone_among_others_and_padded(session) -> None:
    rng = np.random.default_rng(1)
    lengths = rng.integers(1, 60, 32)
    texts = [rng.integers(4, 100, length) for length in lengths]
    together = run_graph(session, _pad(texts, 60))
    for row, text in enumerate(texts):
        for length in (len(text), 62):
            alone = run_graph(session, _pad([text], length))
            for output, values in alone.items():
                per_token = values.ndim > 1 and output != "logits"
                expected = together[output][row, ..., : len(text)] if per_token else together[output][row]
                got = values[0, ..., : len(text)] if per_token else values[0]
                scale = max(float(np.abs(expected).max()), 1e-3)
                np.testing.assert_allclose(got, expected, atol=1e-4 * scale, err_msg=f"{output}, {len(text)} tokens")


def test_attention_received_sums_to_the_number_of_tokens(session) -> None:
    rng = np.random.default_rng(2)
    texts = [rng.integers(4, 100, length) for length in (1, 5, 17, 40)]
    out = run_graph(session, _pad(texts, 41))
    np.testing.assert_allclose(out["attention_received"].sum(axis=1), [1, 5, 17, 40], rtol=1e-5)


def test_nothing_outside_the_scored_tokens_is_suspect(session, table) -> None:
    rng = np.random.default_rng(3)
    unscored = np.flatnonzero(~table)
    texts = [rng.integers(4, 100, 20), rng.choice(unscored, 9), np.array([unscored[0]])]
    feed = _pad(texts, 20)
    out = run_graph(session, feed)
    assert table[feed["input_ids"][0, out["suspect"][0]]]
    assert out["suspect"][1:].tolist() == [-1, -1]
    assert out["anomaly_score"][1:].tolist() == [0, 0]
    outside = ~table[feed["input_ids"]] | (feed["attention_mask"] == 0)
    assert not out["token_scores"][outside].any()


def test_the_gate_at_infinity_leaves_the_answer_and_the_class_attention(session) -> None:
    feed = _pad([np.arange(10, 30), np.arange(40, 45)], 25)
    opened, closed = run_graph(session, feed), run_graph(session, feed, gate=np.inf)
    assert opened["scored"].all()
    assert not closed["scored"].any()
    for name in closed.keys() & {"logits", "class_attention", "class_attention_by_layer"}:
        np.testing.assert_allclose(closed[name], opened[name], rtol=1e-4, atol=1e-6)
    assert not closed["saliency"].any()
    assert closed["suspect"].tolist() == [-1, -1]


def _pad(texts: list[np.ndarray], length: int) -> dict[str, np.ndarray]:
    ids = np.zeros((len(texts), length), np.int64)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = text
    mask = np.array([[1] * len(text) + [0] * (length - len(text)) for text in texts])
    return {"input_ids": ids, "attention_mask": mask}
