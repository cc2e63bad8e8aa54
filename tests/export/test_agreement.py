from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from tokenizers import Tokenizer

from tokenward.export.agreement import batches_of, flagged_auc, measure_agreement
from tokenward.export.assembly import guard_graph
from tokenward.export.discovery import discover
from tokenward.export.presets import ExportSettings, plan
from tokenward.export.random_texts import RandomTexts


@pytest.fixture(scope="module")
def paths(tiny, table, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A graph, and the same with the rows of its classifier turned round."""
    folder = tmp_path_factory.mktemp("agreement")
    model = tiny("bert").graph()
    guard_graph(model, discover(model.graph), plan(ExportSettings("late"), 2), table)
    ir.save(model, folder / "graph.onnx")
    for end in ("classifier.weight", "classifier.bias"):
        value = next(v for name, v in model.graph.initializers.items() if name.endswith(end))
        value.const_value = ir.tensor(np.roll(value.const_value.numpy(), 1, axis=0).copy(), name=value.name)
    ir.save(model, folder / "turned.onnx")
    return [folder / "graph.onnx", folder / "turned.onnx"]


def feeds(count: int) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [{"input_ids": rng.integers(4, 100, (8, 10)), "attention_mask": np.ones((8, 10), int)} for _ in range(count)]


def test_a_graph_agrees_with_itself(paths: list[Path], table) -> None:
    agreement = measure_agreement(paths[0], paths[0], feeds(2), table)
    shares = dict.fromkeys(("labels", "suspects", "class_token", "score_auc"), 1)
    assert agreement == {**shares, "score_ranks": pytest.approx(1), "texts": 16}


def test_other_labels_are_counted_and_attention_is_not_theirs(paths: list[Path], table) -> None:
    agreement = measure_agreement(*paths, feeds(2), table)
    assert agreement["labels"] == 0
    assert agreement["class_token"] == 1


def test_what_fp32_flags_must_stay_on_top() -> None:
    full = np.arange(40.0)  # its 95th percentile is 37.05: two are flagged
    assert flagged_auc(full, 3 * full) == 1
    assert flagged_auc(full, -full) == 0
    assert flagged_auc(full, np.zeros(40)) == 0.5
    assert flagged_auc(full, np.where(full == 39, -1, full)) == 0.5
    assert flagged_auc(np.ones(40), full) == 1, "all are flagged, and nothing can be lost"


@pytest.mark.parametrize("token_types", [0, 2])
def test_texts_come_in_padded_batches(token_types: int, tiny) -> None:
    tokenizer = Tokenizer.from_file(str(tiny("bert").folder / "tokenizer.json"))
    texts = [" ".join(["word9"] * n) for n in (30, 1, 4, *range(1, 20))]
    batches = list(batches_of(texts, tokenizer, RandomTexts(np.ones(100, bool), 0, 12, token_types)))
    assert sum(len(feed["input_ids"]) for feed in batches) == len(texts)
    assert max(feed["input_ids"].shape[1] for feed in batches) == 12, "truncated"
    for feed in batches:
        assert (feed["input_ids"][feed["attention_mask"] == 0] == 0).all()
        assert (feed["input_ids"][:, 0] == 1).all()
        assert ("token_type_ids" in feed) == (token_types > 0)
