from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from tokenward.errors import ExportError
from tokenward.export.assembly import guard_graph
from tokenward.export.discovery import discover
from tokenward.export.emitter import Emitter
from tokenward.export.ground_truth import AutogradTruth, DifferencesTruth, Feed, Truth
from tokenward.export.presets import ExportSettings, plan
from tokenward.export.random_texts import RandomTexts
from tokenward.export.validation import class_attention, validate


def guarded(tiny, table, change=None) -> ir.Model:
    model = tiny("bert").graph()
    layout = discover(model.graph)
    guard_graph(model, layout, plan(ExportSettings("paper", gated=False), 2), table)
    if change is not None:
        change(model.graph)
    return model


def check(model: ir.Model, tiny, table, folder: Path, max_tokens: int = 64) -> dict[str, float]:
    ir.save(model, folder / "graph.onnx")
    chosen = plan(ExportSettings("paper", gated=False), 2)
    return validate(
        folder / "graph.onnx",
        AutogradTruth(tiny("bert").source, 0),
        chosen,
        "class",
        RandomTexts(table, 0, max_tokens),
    )


def alter(name: str, change):
    def apply(graph: ir.Graph) -> None:
        value = next(value for key, value in graph.initializers.items() if key.endswith(name))
        value.const_value = ir.tensor(change(value.const_value.numpy().copy()), name=value.name)

    return apply


def one_off(array: np.ndarray) -> np.ndarray:
    array.flat[0] += 0.5
    return array


def test_a_sound_graph_passes(tiny, table, tmp_path: Path) -> None:
    assert max(check(guarded(tiny, table), tiny, table, tmp_path).values()) <= 1e-5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (alter("word_embeddings.weight", lambda w: w * 1.01), "differs from the source model: logits by"),
        (alter("_T", one_off), "differs from the source model: saliency by"),
        (alter("scored_table", np.logical_not), "differs from the source model: token_scores by"),
        (alter("pooler.dense.bias", lambda b: b * np.nan), "gives logits that is not finite"),
    ],
)
def test_a_changed_graph_fails_loudly(change, message, tiny, table, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=message):
        check(guarded(tiny, table, change), tiny, table, tmp_path)


def test_scores_are_judged_by_the_size_of_their_terms(tiny, table, tmp_path: Path) -> None:
    """Attention that is nearly even leaves scores whose own size is that of rounding."""

    def even(graph: ir.Graph) -> None:
        for name, value in graph.initializers.items():
            if ".query." in name:
                value.const_value = ir.tensor(value.const_value.numpy() * np.float32(1e-6), name=name)

    plain = tiny("bert").graph()
    even(plain.graph)
    chosen = plan(ExportSettings("paper", gated=False), 2)
    model = plain.clone()
    guard_graph(model, discover(model.graph), chosen, table)
    ir.save(model, tmp_path / "graph.onnx")
    truth = DifferencesTruth(plain, discover(plain.graph), 0, tmp_path)
    parity = validate(tmp_path / "graph.onnx", truth, chosen, "class", RandomTexts(table, 0, 64))
    assert parity["anomaly_score"] < 1e-5


def test_a_gradient_below_what_differences_show_is_not_among_the_errors(tiny, table, tmp_path: Path) -> None:
    def shift(graph: ir.Graph) -> None:
        value = next(value for name, value in graph.initializers.items() if name.endswith("classifier.bias"))
        value.const_value = ir.tensor(value.const_value.numpy() + np.float32(1e6), name=value.name)

    ir.save(guarded(tiny, table, shift), tmp_path / "graph.onnx")
    plain = tiny("bert").graph()
    shift(plain.graph)
    truth = DifferencesTruth(plain, discover(plain.graph), 0, tmp_path)
    chosen = plan(ExportSettings("paper", gated=False), 2)
    parity = validate(tmp_path / "graph.onnx", truth, chosen, "class", RandomTexts(table, 0, 64))
    assert set(parity) == {"logits", "class_attention", "attention_received", "token_scores", "anomaly_score"}


def test_a_maximum_that_the_positions_do_not_reach_fails(tiny, table, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="the graph fails on 80 tokens: say with --max-tokens"):
        check(guarded(tiny, table), tiny, table, tmp_path, max_tokens=80)


def test_probabilities_are_no_logits(tiny, table, tmp_path: Path) -> None:
    """However they were made: averaged, clamped, of a sigmoid."""
    plain, model = smoothed(tiny("bert").graph()), smoothed(tiny("bert").graph())
    chosen = plan(ExportSettings("paper", gated=False), 2)
    guard_graph(model, discover(model.graph), chosen, table)
    ir.save(model, tmp_path / "graph.onnx")
    truth = DifferencesTruth(plain, discover(plain.graph), 0, tmp_path)
    with pytest.raises(ExportError, match="these are probabilities and no logits"):
        validate(tmp_path / "graph.onnx", truth, chosen, "class", RandomTexts(table, 0, 64))


def smoothed(model: ir.Model) -> ir.Model:
    """Let it end in probabilities none of which is near 0."""
    logits, op = model.graph.outputs[0], Emitter(model.graph, prefix="end")
    answer = (op.Softmax(logits, axis=-1) * 0.9 + 0.1 / 3).value
    answer.name, answer.shape = "answer", logits.shape
    model.graph.outputs[:] = [answer]
    return model


def test_a_graph_that_cannot_be_loaded_is_one_line(tiny, table, tmp_path: Path) -> None:
    (tmp_path / "graph.onnx").write_bytes(b"nothing")
    chosen = plan(ExportSettings("paper", gated=False), 2)
    truth = AutogradTruth(tiny("bert").source, 0)
    with pytest.raises(ExportError, match="onnxruntime cannot load the guarded graph"):
        validate(tmp_path / "graph.onnx", truth, chosen, "class", RandomTexts(table, 0, 64))


def test_class_attention_of_each_pooling() -> None:
    p = np.arange(1 * 2 * 1 * 3 * 3, dtype=float).reshape(1, 2, 1, 3, 3)
    mask = np.array([[True, True, True], [True, True, False]])
    np.testing.assert_array_equal(class_attention(p, mask, "class"), [[0, 1, 2], [9, 10, 0]])
    np.testing.assert_array_equal(class_attention(p, mask, "last"), [[6, 7, 8], [12, 13, 0]])
    np.testing.assert_allclose(class_attention(p, mask, "mean"), [[3, 4, 5], [10.5, 11.5, 0]])


def test_a_source_that_gives_no_number_is_not_agreed_with(tiny, table, tmp_path: Path) -> None:
    truth = AutogradTruth(tiny("bert").source, 0)

    class Undefined:
        tolerance, shapes = truth.tolerance, truth.shapes

        def __call__(self, feed: Feed) -> Truth:
            sound = truth(feed)
            return dataclasses.replace(sound, saliency=sound.saliency * np.nan)

    ir.save(guarded(tiny, table), tmp_path / "graph.onnx")
    chosen = plan(ExportSettings("paper", gated=False), 2)
    with pytest.raises(ExportError, match="differs from the source model: saliency by nan"):
        validate(tmp_path / "graph.onnx", Undefined(), chosen, "class", RandomTexts(table, 0, 64))


def test_attention_that_does_not_sum_to_one_is_named(tiny, table, tmp_path: Path) -> None:
    """Such as scores before the softmax."""
    truth = AutogradTruth(tiny("bert").source, 0)

    class Doubled:
        tolerance, shapes = truth.tolerance, truth.shapes

        def __call__(self, feed: Feed) -> Truth:
            sound = truth(feed)
            return dataclasses.replace(sound, probabilities=sound.probabilities * 2)

    ir.save(guarded(tiny, table), tmp_path / "graph.onnx")
    chosen = plan(ExportSettings("paper", gated=False), 2)
    with pytest.raises(ExportError, match="the attention of layer 0 sums to 2 for a token"):
        validate(tmp_path / "graph.onnx", Doubled(), chosen, "class", RandomTexts(table, 0, 64))
