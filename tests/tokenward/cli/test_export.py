from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from rich.console import Console
from tokenizers import Tokenizer, models, pre_tokenizers

from tokenward.artifact import load_artifact
from tokenward.cli.export import _report
from tokenward.export.emitter import Emitter

WIDTH, VOCABULARY, CLASSES = 8, 30, 2


def one_layer_classifier() -> ir.Model:
    """The least that is a text classifier with attention: one head, one layer, the class token's row decides."""
    axes = ir.Shape(["batch", "sequence"])
    ids, mask = (
        ir.Value(name=name, type=ir.TensorType(ir.DataType.INT64), shape=axes)
        for name in ("input_ids", "attention_mask")
    )
    graph = ir.Graph([ids, mask], [], nodes=[], opset_imports={"": 20}, name="main")
    op = Emitter(graph, prefix="made")
    rng = np.random.default_rng(0)

    def weights(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    x = op.Gather(weights(VOCABULARY, WIDTH), ids, axis=0)
    hidden = op.Tanh(op.MatMul(x, weights(WIDTH, WIDTH)))
    queries, keys, values = (op.MatMul(hidden, weights(WIDTH, WIDTH)) for _ in range(3))
    scores = op.MatMul(queries, op.Transpose(keys, perm=[0, 2, 1]))
    masked = op.Where(op.Cast(op.Unsqueeze(mask, [1]), to=ir.DataType.BOOL), scores, -1e9)
    mixed = op.MatMul(op.Softmax(masked, axis=-1), values) + hidden
    logits = op.MatMul(op.Gather(mixed, np.array(0), axis=1), weights(WIDTH, CLASSES)).value
    logits.name = "logits"
    logits.shape = ir.Shape(["batch", CLASSES])
    graph.outputs.append(logits)
    return ir.Model(graph, ir_version=10)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """An ONNX file, and a folder with its tokenizer and configuration."""
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    tokenizer = Tokenizer(models.WordLevel({f"word{i}": i for i in range(VOCABULARY)}, unk_token="word1"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"model_type": "own", "max_position_embeddings": 64}))
    ir.save(one_layer_classifier(), tmp_path / "model.onnx")
    return tmp_path / "model.onnx", folder


def merged_products(artifact: Path) -> int:
    graph = ir.load(artifact / "model.onnx").graph
    return sum(node.op_type == "MatMul" and "merged" in str(node.inputs[1]) for node in graph.all_nodes())


def test_an_onnx_file_becomes_an_artifact_and_what_was_found_is_printed(run, files, tmp_path: Path) -> None:
    model, tokenizer = files
    model = model.rename(tmp_path / "model.ONNX")
    outcome = run("export", model, "--tokenizer", tokenizer, "--out", tmp_path / "out", "--labels", "no, yes")
    assert outcome.code == 0, outcome.err
    assert "family: own (not tested before)" in outcome.err
    assert "attention: 1 × 1 heads" in outcome.err
    assert "pooling: class" in outcome.err
    assert "\n  differs from the source model by" in outcome.out
    artifact = load_artifact(tmp_path / "out")
    assert artifact.labels == ("no", "yes")
    assert artifact.guard.graph.preset == "tokenward"
    assert merged_products(tmp_path / "out") == 2  # keys and values, forwards and back


def test_precision_and_agreement_are_reported(run, files, tmp_path: Path) -> None:
    model, tokenizer = files
    (tmp_path / "clean.txt").write_text("\n".join(f"word{i} word{i + 3} word{i + 5}" for i in range(2, 22)))
    outcome = run(
        *("export", model, "--tokenizer", tokenizer, "--out", tmp_path / "out", "--preset", "paper"),
        *("--precision", "int8", "--texts", tmp_path / "clean.txt", "--min-agreement", "0.5"),
    )
    assert outcome.code == 0, outcome.err
    assert "preset paper, int8" in outcome.out
    assert "  before conversion differs from the source model by" in outcome.out
    assert "agrees with fp32 on 20 texts: labels" in outcome.out


def test_layers_by_hand_make_it_custom(run, files, tmp_path: Path) -> None:
    model, tokenizer = files
    outcome = run(
        *("export", model, "--tokenizer", tokenizer, "--out", tmp_path / "out"),
        *("--attention-layers", "0", "--full", "--apart", "--padded"),
    )
    assert outcome.code == 0, outcome.err
    graph = load_artifact(tmp_path / "out").guard.graph
    assert (graph.preset, graph.attention_layers, graph.narrowed, graph.packed) == ("custom", (0,), False, False)
    assert merged_products(tmp_path / "out") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{onnx}"], "an ONNX file comes without a tokenizer: give its folder with --tokenizer"),
        (["{onnx}", "--tokenizer", "{tokenizer}", "--attention-layers", "a"], "expected numbers such as 4,5"),
        (["{onnx}", "--tokenizer", "{tokenizer}", "--gradient-layer", "3"], "layer 3 does not exist"),
        (["{onnx}", "--tokenizer", "{tokenizer}", "--preset", "paper", "--gradient-layer", "0"], "fixes the layers"),
        (["{onnx}", "--tokenizer", "{tokenizer}", "--input-ids", "x"], "the graph has no input 'x', only input_ids"),
        (["{onnx}", "--tokenizer", "{tokenizer}", "--logits", "x"], "the graph has no output 'x', only logits"),
        (["{tokenizer}", "--logits", "x"], "name parts of an ONNX file: leave them out"),
        (["{onnx}", "--tokenizer", "{tokenizer}", "--labels", "a,b,c"], "3 labels for a model with 2 classes"),
        (["{onnx}", "--tokenizer", "{tokenizer}", "--embedding", "x"], "expected a Gather called 'x'"),
        (["{onnx}", "--tokenizer", "{tokenizer}", "--texts", "clean.txt"], "choose --precision int8 or fp16"),
        (["{tokenizer}"], "no weights in"),
        (["nowhere"], "no model at 'nowhere'"),
    ],
)
def test_what_cannot_be_exported_is_one_line_and_nothing_is_written(run, files, tmp_path, arguments, message) -> None:
    names = {"onnx": files[0], "tokenizer": files[1]}
    outcome = run("export", *(a.format(**names) for a in arguments), "--out", tmp_path / "out" / "artifact")
    assert outcome.code == 2
    (error,) = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    assert message in error
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_help_has_an_example(run) -> None:
    outcome = run("export", "--help")
    assert outcome.code == 0
    assert "tokenward export models/plain --out artifacts/plain" in " ".join(outcome.out.split())


def test_an_onnx_file_has_no_weights_to_include(run, files, tmp_path: Path) -> None:
    model, tokenizer = files
    outcome = run("export", model, "--tokenizer", tokenizer, "--out", tmp_path / "out", "--with-weights")
    assert outcome.code == 2
    assert outcome.err == "error: --with-weights copies a checkpoint's safetensors: leave it out for an ONNX file\n"
    assert not (tmp_path / "out").exists()


def test_the_next_command_can_be_pasted_whatever_the_folder_is_called(tiny_artifact: Path, tmp_path: Path) -> None:
    folder = tmp_path / "of [bold] two words"
    shutil.copytree(tiny_artifact, folder)
    out = io.StringIO()
    _report(folder, Console(file=out, width=400))
    assert f"next: tokenward calibrate '{folder}' --clean FILE" in out.getvalue()
    assert f"{folder}: bert" in out.getvalue()
