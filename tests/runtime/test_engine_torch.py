"""The GPU engine against autograd and against the ONNX engine: natively on a GPU, else in Triton's interpreter."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from tokenward.artifact import Artifact, GraphInfo, GuardFile, load_artifact
from tokenward.checksums import weights_sha256
from tokenward.errors import ArtifactError, EngineError
from tokenward.export.forward import load_source
from tokenward.export.ground_truth import AutogradTruth
from tokenward.export.pipeline import export_classifier
from tokenward.export.presets import ExportSettings, plan
from tokenward.export.validation import expected_outputs
from tokenward.kernels import encoder
from tokenward.kernels.capture import padded_shape
from tokenward.kernels.reference import anomaly, bound, class_attention_by_layer, scored_tokens
from tokenward.kernels.vocabulary import scored_table
from tokenward.runtime import engine_torch
from tokenward.runtime.engine import ALWAYS_SKIP, NEVER_SKIP, Batch
from tokenward.runtime.engine_onnx import OnnxEngine
from tokenward.runtime.engine_torch import TorchEngine

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
if not (INTERPRETED or torch.cuda.is_available()):
    pytest.skip("started in the interpreter by tests/kernels/test_interpreter.py", allow_module_level=True)
if not INTERPRETED:
    pytestmark = pytest.mark.gpu

V, WIDTH, LAYERS = 60, 32, 2
BERT = {
    "vocab_size": V, "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 2,
    "intermediate_size": 48, "max_position_embeddings": 40, "initializer_range": 0.3, "num_labels": 3,
}  # fmt: skip
CONFIGS = {
    "bert": lambda: transformers.BertConfig(**BERT),
    "roberta": lambda: transformers.RobertaConfig(**BERT, pad_token_id=1, type_vocab_size=1),
    "electra": lambda: transformers.ElectraConfig(**BERT, embedding_size=20),
    "distilbert": lambda: transformers.DistilBertConfig(
        vocab_size=V, dim=WIDTH, n_layers=LAYERS, n_heads=2, hidden_dim=48, max_position_embeddings=40,
        initializer_range=0.3, num_labels=3,
    ),
}  # fmt: skip
BY_LAYER = "class_attention_by_layer"
PER_TOKEN = ("class_attention", "attention_received", "saliency", "token_scores")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Makes the folder of a small random classifier of a family."""
    made: dict[str, Path] = {}

    def make(family: str) -> Path:
        if family not in made:
            folder = made[family] = tmp_path_factory.mktemp(family)
            torch.manual_seed(0)
            model = transformers.AutoModelForSequenceClassification.from_config(CONFIGS[family]())
            for name, parameter in model.named_parameters():  # so that a forgotten one is noticed
                if name.endswith(("bias", "LayerNorm.weight", "layer_norm.weight")):
                    parameter.data += 0.2 * torch.randn_like(parameter)
            model.save_pretrained(folder)
            words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "of", *(f"word{i}" for i in range(V - 6))]
            tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
            tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
            tokenizer.add_special_tokens(words[:4])
            tokenizer.save(str(folder / "tokenizer.json"))
        return made[family]

    return make


def artifact_of(
    folder: Path, preset: Any, gradient: int, attention: tuple[int, ...], gated: bool = True, outputs: Any = ()
) -> Artifact:
    """An artifact as the engine sees it; its graph is not needed."""
    config = transformers.AutoConfig.from_pretrained(folder).to_dict()
    graph = GraphInfo(preset, gradient, attention, "class", True, gated, "fp32", 20, 38, (), outputs)
    guard = GuardFile(config["model_type"], folder.name, weights_sha256(folder), graph, {}, {})
    return Artifact(folder, guard, config, ("a", "b", "c"), "")


def a_batch(lengths: list[int], pad: int, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    mask = (np.arange(max(lengths)) < np.array(lengths)[:, None]).astype(np.int64)
    ids = rng.integers(4, 20, mask.shape)  # few ids, so they repeat
    ids[:, 0] = 2
    return Batch(np.where(mask == 1, ids, pad), mask)


def truth_of(folder: Path, batch: Batch, preset: Any, gradient: int, attention: tuple[int, ...]) -> dict[str, Any]:
    """Every output by its definition, from eager attention and autograd."""
    feed = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    table = scored_table(Tokenizer.from_file(str(folder / "tokenizer.json")), V)
    chosen = replace(plan(ExportSettings("custom"), LAYERS), gradient_layer=gradient, attention_layers=attention)
    truth, mask = AutogradTruth(load_source(folder), gradient)(feed), batch.attention_mask == 1
    outputs = expected_outputs(truth, feed, chosen, "class", table)
    suspect = anomaly(outputs["token_scores"], scored_tokens(batch.input_ids, mask, table))[1]
    by_layer = class_attention_by_layer(truth.probabilities, mask)
    return {**outputs, **({BY_LAYER: by_layer} if preset == "tokenward" else {}), "suspect": suspect}


def assert_close(found: Any, expected: Any, tolerance: float, names: Any = None) -> None:
    for name in names or expected:
        largest = np.abs(expected[name]).max()
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=tolerance * largest, err_msg=name)


@pytest.fixture(params=["recorded", "packed"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small batches run padded and recorded, large ones packed; both ways must give the same."""
    monkeypatch.setattr(engine_torch, "RECORDED", 1024 if request.param == "recorded" else 0)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("family", "preset", "gradient", "attention"),
    [
        ("bert", "paper", 0, (0, 1)),
        ("roberta", "paper", 0, (0, 1)),
        ("electra", "paper", 0, (0, 1)),
        ("distilbert", "tokenward", 1, (1,)),
        ("roberta", "late", 1, (1,)),
        ("bert", "custom", 1, (0,)),
    ],
)
def test_every_output_is_that_of_autograd(family: str, preset: Any, gradient: int, attention: Any, checkpoint: Any):
    folder = checkpoint(family)
    batch = a_batch([7, 17, 1], pad=1 if family == "roberta" else 0)
    by_layer = (BY_LAYER,) if preset == "tokenward" else ()
    artifact = artifact_of(folder, preset, gradient, attention, outputs=by_layer)
    found = TorchEngine(artifact, precision="fp32", device=DEVICE).run(batch, NEVER_SKIP)
    assert_close(found, truth_of(folder, batch, preset, gradient, attention), 1e-4)
    assert found["scored"].all()
    assert {name: array.dtype.name for name, array in found.items()} == {
        **dict.fromkeys(("logits", *PER_TOKEN, *by_layer, "anomaly_score"), "float32"),
        "suspect": "int64", "scored": "bool",
    }  # fmt: skip


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("lengths", [[13], [7, 17, 1, 31, 2]])
@pytest.mark.parametrize("gate", [6.0, ALWAYS_SKIP])
def test_class_attention_of_every_layer_whatever_is_skipped(gate: float, lengths: list[int], checkpoint: Any):
    batch = a_batch(lengths, pad=0)
    artifact = artifact_of(checkpoint("bert"), "tokenward", 1, (1,), outputs=(BY_LAYER,))
    engine = TorchEngine(artifact, None, "fp32", DEVICE)
    found, expected = engine.run(batch, gate), truth_of(checkpoint("bert"), batch, "tokenward", 1, (1,))
    assert_close(found, expected, 1e-5, [BY_LAYER])
    np.testing.assert_array_equal(found[BY_LAYER][:, -1], found["class_attention"])
    assert not found[BY_LAYER].swapaxes(1, 2)[batch.attention_mask == 0].any()


@pytest.mark.parametrize(("outputs", "passes"), [((), 1), ((BY_LAYER,), LAYERS)])
def test_graphs_without_that_output_spend_nothing_on_it(
    outputs: Any, passes: int, checkpoint: Any, monkeypatch: pytest.MonkeyPatch
):
    add, calls = encoder.add_received, []
    monkeypatch.setattr(encoder, "add_received", lambda *arguments: calls.append(add(*arguments)))
    monkeypatch.setattr(engine_torch, "RECORDED", 0)
    artifact = artifact_of(checkpoint("bert"), "tokenward", 1, (1,), outputs=outputs)
    found = TorchEngine(artifact, None, "fp32", DEVICE).run(a_batch([5, 2], pad=0), ALWAYS_SKIP)
    assert (BY_LAYER in found) == bool(outputs)
    assert len(calls) == passes


@pytest.mark.usefixtures("way")
def test_the_gate_skips_what_the_bound_proves_and_nothing_else(checkpoint: Any):
    folder = checkpoint("bert")
    batch = a_batch([12, 3, 5], pad=0)
    engine = TorchEngine(artifact_of(folder, "paper", 0, (0, 1)), precision="fp32", device=DEVICE)
    everything, nothing = engine.run(batch, NEVER_SKIP), engine.run(batch, ALWAYS_SKIP)
    table = scored_table(Tokenizer.from_file(str(folder / "tokenizer.json")), V)
    limits = bound(everything["attention_received"], scored_tokens(batch.input_ids, batch.attention_mask == 1, table))
    gate = float(np.median(limits))
    found = engine.run(batch, gate)
    assert found["scored"].tolist() == (limits >= gate).tolist()
    assert 0 < found["scored"].sum() < 3
    assert not nothing["scored"].any()
    chosen = found["scored"]
    for name in ("saliency", "token_scores", "anomaly_score", "suspect"):
        np.testing.assert_allclose(found[name][chosen], everything[name][chosen], rtol=2e-4, atol=1e-5)
        assert (found[name][~chosen] == (-1 if name == "suspect" else 0)).all()
        assert (nothing[name] == (-1 if name == "suspect" else 0)).all()
    for other in (found, nothing):
        assert_close(other, everything, 1e-5, ["logits", "class_attention", "attention_received"])
    assert not engine.run(batch, 1e9)["scored"].any()


def test_ungated_graphs_ignore_the_gate(checkpoint: Any):
    engine = TorchEngine(artifact_of(checkpoint("bert"), "late", 1, (1,), gated=False), None, "fp32", DEVICE)
    assert engine.run(a_batch([5, 2], pad=0), ALWAYS_SKIP)["scored"].all()


@pytest.mark.usefixtures("way")
def test_the_tokenward_preset_leaves_the_attention_out_too(checkpoint: Any):
    engine = TorchEngine(artifact_of(checkpoint("distilbert"), "tokenward", 1, (1,)), None, "fp32", DEVICE)
    batch = a_batch([9, 2], pad=0)
    everything, nothing = engine.run(batch, NEVER_SKIP), engine.run(batch, ALWAYS_SKIP)
    assert not nothing["attention_received"].any()
    assert_close(nothing, everything, 1e-5, ["logits", "class_attention"])
    some = engine.run(batch, 18.0)  # n · |T| is at most 4 for the second text
    assert some["scored"].tolist() == [True, False]
    assert some["attention_received"][0].any()
    assert not some["attention_received"][1].any()


def test_answers_do_not_depend_on_batch_mates_or_chunks(checkpoint: Any, monkeypatch: pytest.MonkeyPatch):
    engine = TorchEngine(artifact_of(checkpoint("roberta"), "paper", 0, (0, 1)), None, "fp32", DEVICE)
    batch = a_batch([7, 1, 12], pad=1)
    together = engine.run(batch, NEVER_SKIP)
    monkeypatch.setattr(engine_torch, "CHUNK", 11)
    assert_close(engine.run(batch, NEVER_SKIP), together, 1e-5)
    for row, n in enumerate([7, 1]):
        alone = engine.run(
            Batch(batch.input_ids[row : row + 1, :n], batch.attention_mask[row : row + 1, :n]), NEVER_SKIP
        )
        for name in PER_TOKEN:
            np.testing.assert_allclose(alone[name][0], together[name][row, :n], rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(alone["logits"][0], together["logits"][row], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision(precision: Any, checkpoint: Any):
    if INTERPRETED and precision == "bf16":
        pytest.skip("Triton 3.9's interpreter multiplies the bit patterns of bfloat16")
    folder = checkpoint("bert")
    batch = a_batch([17, 6], pad=0)
    found = TorchEngine(artifact_of(folder, "paper", 0, (0, 1)), None, precision, DEVICE).run(batch, NEVER_SKIP)
    expected = truth_of(folder, batch, "paper", 0, (0, 1))
    assert_close(found, expected, 2e-2 if precision == "fp16" else 2e-1)
    assert (found["logits"].argmax(1) == expected["logits"].argmax(1)).all()


@pytest.mark.parametrize("preset", ["paper", "tokenward"])
def test_same_numbers_as_the_onnx_engine(preset: Any, checkpoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engine_torch, "RECORDED", 0)
    folder = checkpoint("bert")
    artifact = load_artifact(export_classifier(folder, tmp_path / "artifact", ExportSettings(preset)))
    onnx = OnnxEngine(artifact.model_path, threads=1)
    fused = TorchEngine(artifact, folder, "fp32", DEVICE)
    batch = a_batch([7, 3, 17], pad=0, seed=3)
    assert (BY_LAYER in artifact.guard.graph.outputs) == (preset == "tokenward")
    for gate in (NEVER_SKIP, 2.0):
        theirs, ours = onnx.run(batch, gate), fused.run(batch, gate)
        assert ours.keys() == theirs.keys()
        assert_close(ours, theirs, 1e-4, theirs.keys() & {"logits", *PER_TOKEN[:2], BY_LAYER})
        for name in ("scored", "suspect"):
            np.testing.assert_array_equal(ours[name], theirs[name])
        for name in ("saliency", "token_scores", "anomaly_score"):
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-3, atol=1e-4, err_msg=name)


def test_a_text_that_cannot_be_scored_is_flagged_and_alone_in_it(checkpoint: Any):
    """A weight that is not finite in one word's embedding spoils the texts with that word."""
    folder = checkpoint("bert")
    engine = TorchEngine(artifact_of(folder, "paper", 0, (0, 1)), None, "fp32", DEVICE)
    batch = a_batch([6, 5, 4], pad=0)
    before = engine.run(batch, NEVER_SKIP)
    batch.input_ids[1, 2] = 50
    engine._model.encoder.weights.words[50] = float("nan")
    after = engine.run(batch, NEVER_SKIP)
    assert np.isnan(after["anomaly_score"][1])
    assert after["suspect"][1] == -1
    assert_close({n: a[[0, 2]] for n, a in after.items()}, {n: a[[0, 2]] for n, a in before.items()}, 1e-5)


def test_recorded_shapes_are_few_and_large_enough():
    shapes = [padded_shape(texts, width) for texts in range(1, 65) for width in range(1, 129)]
    assert len(set(shapes)) == 4 * (4 + 7)
    assert padded_shape(1, 1) == (1, 32)
    assert padded_shape(5, 33) == (8, 64)
    assert padded_shape(9, 64) == (16, 64)


def test_weights_of_another_checkpoint_are_refused(checkpoint: Any, tmp_path: Path):
    artifact = artifact_of(checkpoint("bert"), "paper", 0, (0, 1))
    with pytest.raises(ArtifactError, match="finds no safetensors weights"):
        TorchEngine(artifact, tmp_path, device=DEVICE)
    with pytest.raises(ArtifactError, match="not those that the artifact was exported from"):
        TorchEngine(artifact, checkpoint("roberta"), device=DEVICE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "deberta"}, "knows bert, roberta, electra, distilbert, not 'deberta'"),
        ({"hidden_act": "relu"}, "needs exact GELU"),
        ({"num_hidden_layers": 3}, "has no weight 'bert.encoder.layer.2"),
    ],
)
def test_models_the_kernels_do_not_know_are_refused(change: dict[str, Any], message: str, checkpoint: Any):
    artifact = artifact_of(checkpoint("bert"), "paper", 0, (0, 1))
    with pytest.raises(EngineError, match=message):
        TorchEngine(replace(artifact, config={**artifact.config, **change}), device=DEVICE)


def test_pooled_models_are_refused(checkpoint: Any):
    artifact = artifact_of(checkpoint("bert"), "paper", 0, (0, 1))
    guard = replace(artifact.guard, graph=replace(artifact.guard.graph, pooling="mean"))
    with pytest.raises(EngineError, match="reads its class token"):
        TorchEngine(replace(artifact, guard=guard), device=DEVICE)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_error_says_so(checkpoint: Any):
    with pytest.raises(EngineError, match="needs an NVIDIA GPU and there is none here"):
        TorchEngine(artifact_of(checkpoint("bert"), "paper", 0, (0, 1)))


def test_bad_batches_are_refused_before_the_device_sees_them(checkpoint: Any):
    engine = TorchEngine(artifact_of(checkpoint("bert"), "paper", 0, (0, 1)), device=DEVICE)
    with pytest.raises(EngineError, match="a text has 39 tokens but the model reads 38"):
        engine.run(a_batch([39], pad=0), ALWAYS_SKIP)
    with pytest.raises(EngineError, match="outside the vocabulary of 60"):
        engine.run(Batch(np.array([[2, 60]]), np.ones((1, 2), np.int64)), ALWAYS_SKIP)
    with pytest.raises(EngineError, match="padding on the right"):
        engine.run(Batch(np.array([[0, 2]]), np.array([[0, 1]])), ALWAYS_SKIP)
