from __future__ import annotations

import json
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import torch

from tokenward.artifact import load_artifact
from tokenward.checksums import file_sha256, weights_sha256
from tokenward.errors import ArtifactError, ExportError, InputError
from tokenward.export.forward import export_forward, load_source
from tokenward.export.onnx_source import model_sha256
from tokenward.export.pipeline import export_classifier, export_onnx, save_graph
from tokenward.export.presets import ExportSettings
from tokenward.export.session import run_graph, serving_session
from tokenward.runtime.guard import load


@pytest.fixture(scope="module")
def artifact(tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one export from PyTorch here: tracing takes seconds."""
    source = tmp_path_factory.mktemp("checkpoint") / "suspect"
    shutil.copytree(tiny("bert").folder, source)
    (source / "purify.json").write_text(json.dumps({"method": "mbtsad"}))
    steps: list[tuple[str, int, int]] = []
    found: list[dict[str, str]] = []
    beside = json.loads((source / "tokenizer_config.json").read_text())
    (source / "tokenizer_config.json").write_text(json.dumps({**beside, "model_max_length": 32}))
    settings = ExportSettings(labels=("bad", "fair", "good"))
    out = export_classifier(
        source, source.parent / "artifact", settings, lambda *s: steps.append(s), found=found.append, with_weights=True
    )
    assert [(number, count) for _, number, count in steps] == [(0, 4), (1, 4), (2, 4)]
    assert found[0]["family"] == "bert"
    assert "classes" not in found[0]
    return out


def test_the_artifact_says_what_it_is(artifact: Path, tiny) -> None:
    loaded = load_artifact(artifact)
    guard = loaded.guard
    assert loaded.labels == ("bad", "fair", "good")
    assert (guard.family, guard.checkpoint) == ("bert", "suspect")
    assert guard.checkpoint_sha256 == weights_sha256(tiny("bert").folder)
    assert guard.purification == {"method": "mbtsad"}
    assert guard.graph.preset == "tokenward"
    assert (guard.graph.gradient_layer, guard.graph.attention_layers, guard.graph.pooling) == (1, (1,), "class")
    assert (guard.graph.narrowed, guard.graph.gated, guard.graph.precision) == (True, True, "fp32")
    assert guard.graph.packed
    assert (guard.graph.max_tokens, guard.graph.opset) == (32, 20)
    assert guard.graph.inputs == ("input_ids", "attention_mask", "gate")
    session = serving_session(loaded.model_path)
    assert [value.name for value in session.get_outputs()] == list(guard.graph.outputs)
    assert 0 < max(guard.parity.values()) <= 1e-4
    assert guard.agreement is None
    assert (loaded.config["vocab_size"], loaded.config["pad_token_id"]) == (100, 0)
    assert set(guard.versions) >= {"torch", "onnxruntime"}


def test_the_weights_are_included_and_transformers_opens_the_folder(artifact: Path, tiny) -> None:
    assert weights_sha256(artifact) == load_artifact(artifact).guard.checkpoint_sha256
    ids = torch.arange(4, 20).reshape(2, 8)
    with torch.no_grad():
        expected, got = (load_source(folder).module(ids).logits for folder in (tiny("bert").folder, artifact))
    assert torch.equal(got, expected)


def test_a_caller_who_does_not_know_the_gate_gets_every_number(artifact: Path) -> None:
    session = serving_session(artifact / "model.onnx")
    assert [value.name for value in session.get_inputs()] == ["input_ids", "attention_mask"]
    feed = {"input_ids": np.arange(4, 20).reshape(2, 8), "attention_mask": np.ones((2, 8), np.int64)}
    names = [value.name for value in session.get_outputs()]
    told = run_graph(session, feed, gate=-np.inf)
    for name, array in zip(names, session.run(names, feed), strict=True):
        np.testing.assert_array_equal(array, told[name])
    assert told["scored"].all()
    assert not run_graph(session, feed, gate=np.inf)["scored"].any()


def test_the_runtime_serves_it(artifact: Path) -> None:
    guard = load(artifact)
    verdicts = guard.classify(["word10 word11", "word50 " * 60], mode="off")
    assert [verdict.truncated for verdict in verdicts] == [False, True]
    assert {verdict.label for verdict in verdicts} <= {"bad", "fair", "good"}


@pytest.fixture
def files(tiny, tmp_path: Path) -> tuple[Path, Path]:
    """An ONNX file, which needs no tracing, and the folder of its tokenizer."""
    model = tiny("bert")
    return model.path, model.folder


def test_an_onnx_file_becomes_an_artifact(files: tuple[Path, Path], tmp_path: Path) -> None:
    out = export_onnx(*files, tmp_path / "out", ExportSettings("paper"))
    guard = load_artifact(out).guard
    assert (guard.family, guard.checkpoint) == ("bert", files[0].name)
    assert guard.checkpoint_sha256 == file_sha256(files[0])
    assert guard.graph.attention_layers == (0, 1)
    assert guard.graph.max_tokens == 64
    again = export_onnx(*files, tmp_path / "again", ExportSettings("paper"))
    assert (again / "SHA256SUMS").read_bytes() == (out / "SHA256SUMS").read_bytes(), "the same export, bit by bit"
    (verdict,) = load(out).classify("word10 word11 word12", mode="off")
    assert verdict.label in ("LABEL_0", "LABEL_1", "LABEL_2")


def test_onnx_runtime_may_be_installed_under_another_name(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def installed(name: str) -> str:
        if name == "onnxruntime":
            raise PackageNotFoundError(name)  # the package is onnxruntime-gpu
        return version(name)

    monkeypatch.setattr("tokenward.export.pipeline.version", installed)
    out = export_onnx(*files, tmp_path / "out", ExportSettings("late"))
    assert load_artifact(out).guard.versions["onnxruntime"] == onnxruntime.__version__


def test_lower_precision_is_compared_with_fp32(files: tuple[Path, Path], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(f"word{i}" for i in rng.integers(4, 100, n)) for n in rng.integers(3, 20, 40)]
    settings = ExportSettings("late", precision="int8", minimum_agreement=0)
    guard = load_artifact(export_onnx(*files, tmp_path / "int8", settings, texts=texts)).guard
    assert guard.graph.precision == "int8"
    assert guard.agreement is not None
    assert guard.agreement["texts"] == 40
    assert guard.agreement["labels"] > 0.7
    assert 0 < max(guard.parity.values()) <= 5e-3, "parity is that of the fp32 graph it was made from"
    assert guard.graph.packed
    half = export_onnx(*files, tmp_path / "fp16", ExportSettings("late", precision="fp16"))
    assert not load_artifact(half).guard.graph.packed
    assert load_artifact(half).guard.agreement["labels"] == 1
    assert not any(path.is_dir() for path in half.iterdir())


def test_too_little_agreement_writes_nothing(files: tuple[Path, Path], tmp_path: Path) -> None:
    settings = ExportSettings("late", precision="int8", minimum_agreement=1.01)
    with pytest.raises(ExportError, match=r"int8 gives the label of fp32 on .* of 48 texts, less than 101\.0%"):
        export_onnx(*files, tmp_path / "out" / "int8", settings)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interruption_leaves_nothing(error, files: tuple[Path, Path], tmp_path: Path) -> None:
    def interrupt(what: str, number: int, steps: int) -> None:
        if number == 2:
            raise error

    with pytest.raises(error):
        export_onnx(*files, tmp_path / "out" / "late", ExportSettings("late"), interrupt)
    assert list((tmp_path / "out").iterdir()) == []


def test_an_existing_folder_is_never_overwritten(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="exists already"):
        export_onnx(*files, tmp_path, ExportSettings("late"))


@pytest.mark.parametrize("limit", [2, 65])
def test_a_maximum_that_the_model_does_not_have(limit: int, files: tuple[Path, Path], tmp_path: Path) -> None:
    model, tokenizer = files
    with pytest.raises(InputError, match=f"--max-tokens is {limit}: the model reads at most 64 tokens"):
        export_onnx(model, tokenizer, tmp_path / "out", ExportSettings("late", max_tokens=limit))


def test_a_tokenizer_of_another_model(files: tuple[Path, Path], tmp_path: Path, tokenizer_of_size) -> None:
    with pytest.raises(InputError, match="embeds only 100 tokens"):
        export_onnx(files[0], tokenizer_of_size(120), tmp_path / "out", ExportSettings("late", max_tokens=20))


def test_an_onnx_file_whose_length_nothing_tells(files: tuple[Path, Path], tmp_path: Path, tokenizer_of_size) -> None:
    folder = tokenizer_of_size(100)
    with pytest.raises(InputError, match="nothing says how long a text the model reads: give --max-tokens"):
        export_onnx(files[0], folder, tmp_path / "out", ExportSettings("late"))
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": -1}))  # as of XLNet: no limit
    with pytest.raises(InputError, match="nothing says how long a text the model reads: give --max-tokens"):
        export_onnx(files[0], folder, tmp_path / "out", ExportSettings("late"))


def test_weights_beside_an_onnx_file_come_along(files: tuple[Path, Path], tmp_path: Path) -> None:
    source = tmp_path / "beside"
    source.mkdir()
    ir.save(ir.load(files[0]), source / "model.onnx", external_data="weights.bin", size_threshold_bytes=0)
    out = export_onnx(source / "model.onnx", files[1], tmp_path / "out", ExportSettings("late"))
    first = load_artifact(out).guard.checkpoint_sha256
    feed = {"input_ids": np.array([[5, 6]]), "attention_mask": np.ones((1, 2), np.int64)}
    (source / "weights.bin").rename(tmp_path / "gone.bin")
    expected = run_graph(serving_session(files[0]), feed)["logits"]
    np.testing.assert_allclose(run_graph(serving_session(out / "model.onnx"), feed)["logits"], expected, rtol=1e-4)
    assert sorted(path.name for path in out.iterdir() if path.suffix in (".onnx", ".bin", ".data")) == ["model.onnx"]

    data = bytearray((tmp_path / "gone.bin").read_bytes())
    data[-1] ^= 1
    (source / "weights.bin").write_bytes(data)
    assert model_sha256(source / "model.onnx") != first, "the digest is one of the weights, too"


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_a_graph_with_token_types_in_lower_precision(precision, tiny, tmp_path: Path) -> None:
    model = tiny("bert")
    ir.save(export_forward(model.source, token_type_ids=True), tmp_path / "typed.onnx")
    settings = ExportSettings("late", precision=precision, minimum_agreement=0)
    for texts in ((), ("word10 word11", "word20")):
        out = export_onnx(tmp_path / "typed.onnx", model.folder, tmp_path / f"{len(texts)}", settings, texts=texts)
        assert "token_type_ids" in load_artifact(out).guard.graph.inputs


def test_the_padding_token_is_the_tokenizers_where_no_configuration_names_one(tiny, tmp_path: Path) -> None:
    model, folder = tiny("gpt2 last"), tmp_path / "tokenizer"
    folder.mkdir()
    shutil.copy(model.folder / "tokenizer.json", folder)
    beside = {"pad_token": "word9", "model_max_length": 64}
    (folder / "tokenizer_config.json").write_text(json.dumps(beside))
    with pytest.raises(ExportError, match="padding a text with token 9 changes its logits"):
        # Packed, the model finds a copy of the last real token where it takes padding for the last one.
        export_onnx(model.path, folder, tmp_path / "out", ExportSettings("paper", packed=False))
    assert not (tmp_path / "out").exists()
    (folder / "tokenizer_config.json").write_text(json.dumps({**beside, "pad_token": "[PAD]"}))
    out = export_onnx(model.path, folder, tmp_path / "out", ExportSettings("paper"))
    assert load_artifact(out).config["pad_token_id"] == 0
    guard, texts = load(out), ["word10 word11", "word20 " * 9]
    alone = [guard.classify([text], mode="off")[0].score for text in texts]
    assert [verdict.score for verdict in guard.classify(texts, mode="off")] == pytest.approx(alone, abs=1e-5)


def test_what_may_not_be_meant_is_among_what_was_found(
    files, tmp_path: Path, tokenizer_of_size, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Padding with another token than the tokenizer's, and a vector of the text that was taken for logits."""
    monkeypatch.setattr("tokenward.export.pipeline._MANY", 2)
    found: list[dict[str, str]] = []
    folder = tokenizer_of_size(100)
    (folder / "config.json").write_text(json.dumps({"pad_token_id": 0, "max_position_embeddings": 64}))
    beside = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "word9"}
    (folder / "tokenizer_config.json").write_text(json.dumps(beside))
    out = export_onnx(files[0], folder, tmp_path / "out", ExportSettings("late"), found=found.append)
    assert found[0]["padding"] == "token 0, but the tokenizer's 9"
    assert found[0]["classes"].startswith("3 without a name: ")
    assert load_artifact(out).config["pad_token_id"] == 0


def test_token_types_that_an_onnx_file_does_not_take(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no input token_type_ids: leave --token-type-ids out"):
        export_onnx(*files, tmp_path / "out", ExportSettings("late", token_type_ids=True))


@pytest.mark.parametrize(("wanted", "most"), [(None, 16), (40, 40)])
def test_a_text_is_as_long_as_its_tokenizer_says_or_the_user(
    wanted: int | None, most: int, files: tuple[Path, Path], tmp_path: Path, tokenizer_of_size
) -> None:
    folder = tokenizer_of_size(100)
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 64}))
    beside = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 16}
    (folder / "tokenizer_config.json").write_text(json.dumps(beside))
    out = export_onnx(files[0], folder, tmp_path / "out", ExportSettings("late", max_tokens=wanted))
    assert load_artifact(out).guard.graph.max_tokens == most


@pytest.mark.parametrize(
    ("settings", "config", "message"),
    [
        (ExportSettings(labels=("a", "b")), {}, "2 labels for a model with 3 classes"),
        (ExportSettings(max_tokens=2), {}, "--max-tokens is 2: the model reads at most 64 tokens, the least is 3"),
        (ExportSettings("custom", attention_layers=(7,)), {}, "layer 7 does not exist"),
        (ExportSettings("paper", gradient_layer=1), {}, "preset 'paper' fixes the layers"),
        (ExportSettings(), {"num_hidden_layers": 0}, "the model has no layers, expected one or more"),
        (ExportSettings(), {"id2label": {"0": "a", "1": "a", "2": "b"}}, "two classes have one name"),
    ],
    ids=lambda value: "",
)
def test_what_is_wrong_with_the_options_is_told_before_the_model_is_traced(
    settings: ExportSettings, config: dict, message: str, tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny("bert").folder, tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
    monkeypatch.setattr("tokenward.export.pipeline.export_forward", lambda *_: pytest.fail("traced"))
    with pytest.raises(InputError, match=message):
        export_classifier(tmp_path / "model", tmp_path / "out", settings)


def test_a_tokenizer_from_another_folder(
    tiny, tmp_path: Path, tokenizer_of_size, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenward.export.pipeline.export_forward", lambda *_: pytest.fail("traced"))
    with pytest.raises(InputError, match="embeds only 100 tokens"):
        export_classifier(
            tiny("bert").folder, tmp_path / "out", ExportSettings("late"), tokenizer_dir=tokenizer_of_size(120)
        )


def test_large_weights_go_to_a_file_of_their_own(tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenward.export.pipeline._EXTERNAL_ABOVE", 1000)
    save_graph(tiny("bert").graph(), tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx.data").stat().st_size > 50_000
    feed = {"input_ids": np.array([[5, 6]]), "attention_mask": np.ones((1, 2), np.int64)}
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("model.onnx", "model.onnx.data"):
        (tmp_path / name).rename(moved / name)
    expected = run_graph(serving_session(tiny("bert").path), feed)["logits"]
    np.testing.assert_array_equal(run_graph(serving_session(moved / "model.onnx"), feed)["logits"], expected)
    assert ir.load(moved / "model.onnx").graph.name
