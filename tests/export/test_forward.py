from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from tokenward.errors import ExportError, InputError
from tokenward.export.forward import export_forward, load_source


def copy_without(folder: Path, target: Path, *names: str) -> Path:
    shutil.copytree(folder, target)
    for name in names:
        (target / name).unlink()
    return target


def change_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_the_graph_equals_the_model_at_other_shapes(tiny) -> None:
    model = tiny("bert")
    session = onnxruntime.InferenceSession(model.path)
    rng = np.random.default_rng(0)
    for batch, sequence in ((1, 1), (1, 7), (5, 64)):
        ids = rng.integers(4, 100, (batch, sequence))
        mask = np.ones_like(ids)
        mask[-1, sequence // 2 + 1 :] = 0
        got = session.run(["logits"], {"input_ids": ids, "attention_mask": mask})[0]
        with torch.no_grad():
            expected = model.source.module(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask)).logits
        np.testing.assert_allclose(got, expected.numpy(), rtol=1e-4, atol=1e-5)


def test_a_model_that_reads_few_tokens(tmp_path: Path) -> None:
    """The example that is traced must not fill its table of positions, or the length would be baked in."""
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        max_position_embeddings=8,
    )  # fmt: skip
    transformers.BertForSequenceClassification(config).save_pretrained(tmp_path / "small")
    source = load_source(tmp_path / "small")
    import onnx_ir as ir

    ir.save(export_forward(source), tmp_path / "small.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "small.onnx")
    for shape in ((1, 1), (2, 8)):
        ids = np.full(shape, 7)
        got = session.run(["logits"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]
        with torch.no_grad():
            expected = source.module(input_ids=torch.tensor(ids)).logits
        np.testing.assert_allclose(got, expected.numpy(), rtol=1e-4, atol=1e-5)


def test_token_types_become_an_input_that_matters(tiny, tmp_path: Path) -> None:
    model = tiny("bert")
    import onnx_ir as ir

    ir.save(export_forward(model.source, token_type_ids=True), tmp_path / "typed.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "typed.onnx")
    ids = np.arange(10, 20)[None]
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    first = session.run(["logits"], feed)[0]
    feed["token_type_ids"] = np.ones_like(ids)
    second = session.run(["logits"], feed)[0]
    assert np.abs(first - second).max() > 1e-3
    with torch.no_grad():
        expected = model.source.module(**{name: torch.tensor(array) for name, array in feed.items()}).logits
    np.testing.assert_allclose(second, expected.numpy(), rtol=1e-4, atol=1e-5)


def test_a_model_without_token_types_refuses_them(tiny) -> None:
    with pytest.raises(ExportError, match="this distilbert model takes no token_type_ids"):
        export_forward(tiny("distilbert").source, token_type_ids=True)


def test_a_model_with_one_token_type_refuses_them(tmp_path: Path) -> None:
    folder = untrained(transformers.RobertaConfig, tmp_path / "m", type_vocab_size=1, pad_token_id=1)
    with pytest.raises(ExportError, match="this roberta model knows one token type: leave --token-type-ids out"):
        export_forward(load_source(folder), token_type_ids=True)


def untrained(config: type, folder: Path, **changes: object) -> Path:
    """The folder of a model as small as its family allows."""
    small = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    model = transformers.AutoModelForSequenceClassification.from_config(config(**{**small, **changes}))
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        (transformers.BloomConfig, {}, "is a bloom model, which states no longest input"),
        (transformers.XLNetConfig, {"d_model": 8, "n_head": 2, "d_inner": 8}, "is a xlnet model, which states no long"),
        (transformers.CanineConfig, {"num_hash_buckets": 8}, "is a canine model, which has no table of word emb"),
        (transformers.BartConfig, {"d_model": 8, "decoder_attention_heads": 2}, "encoder with a decoder"),
        (transformers.T5Config, {"d_model": 8, "num_layers": 1, "pad_token_id": 0}, "encoder with a decoder"),
    ],
)
def test_refuses_families_that_are_built_otherwise(config, changes, message, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        load_source(untrained(config, tmp_path / "m", **changes))


def test_a_decoder_without_a_padding_token_is_told_to_name_one(tmp_path: Path) -> None:
    folder = untrained(transformers.GPT2Config, tmp_path / "m", bos_token_id=0, eos_token_id=0)
    with pytest.raises(ExportError, match="names no pad_token_id: add the number of the token"):
        export_forward(load_source(folder))


def test_positions_that_roberta_never_reaches_do_not_count(tiny) -> None:
    assert tiny("bert").source.max_tokens == 64
    assert tiny("roberta").source.max_tokens == 62


def test_refuses_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a folder with config\.json and model\.safetensors"):
        load_source(tmp_path)


def test_refuses_pickled_weights_and_says_how_to_convert(tiny, tmp_path: Path) -> None:
    folder = copy_without(tiny("bert").folder, tmp_path / "m", "model.safetensors")
    with pytest.raises(InputError, match=r"expected model\.safetensors"):
        load_source(folder)
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'echo'\ntR.")
    with pytest.raises(InputError, match="save_pretrained"):
        load_source(folder)
    (folder / "adapter_model.safetensors").write_bytes(b"not what transformers reads")
    with pytest.raises(InputError, match="save_pretrained"):
        load_source(folder)


def test_refuses_weights_that_the_configuration_names(tiny, tmp_path: Path) -> None:
    """They would be read, but others hashed and copied."""
    folder = copy_without(tiny("bert").folder, tmp_path / "m")
    shutil.copy(folder / "model.safetensors", folder / "other.safetensors")
    change_config(folder, transformers_weights="other.safetensors")
    with pytest.raises(InputError, match="names its weights by hand"):
        load_source(folder)


def test_refuses_what_is_not_a_sequence_classifier(tiny, tmp_path: Path) -> None:
    folder = copy_without(tiny("bert").folder, tmp_path / "m")
    change_config(folder, architectures=["BertForMaskedLM"])
    with pytest.raises(InputError, match=r"not a sequence classifier: config\.json names BertForMaskedLM"):
        load_source(folder)


@pytest.mark.parametrize("names", [None, [None], "BertForSequenceClassification", []])
def test_refuses_architectures_that_are_no_list_of_names(tiny, tmp_path: Path, names: object) -> None:
    folder = copy_without(tiny("bert").folder, tmp_path / "m")
    change_config(folder, architectures=names)
    with pytest.raises(InputError, match=r"config\.json names nothing"):
        load_source(folder)


def test_refuses_weights_of_another_size_by_name(tiny, tmp_path: Path) -> None:
    folder = copy_without(tiny("bert").folder, tmp_path / "m")
    change_config(folder, max_position_embeddings=80)
    with pytest.raises(InputError, match=r"position_embeddings\.weight of shape \[64, 32\], expected \[80, 32\]"):
        load_source(folder)


@pytest.mark.parametrize("kind", ["regression", "multi_label_classification"])
def test_refuses_answers_that_are_not_one_label(tiny, tmp_path: Path, kind: str) -> None:
    folder = copy_without(tiny("bert").folder, tmp_path / "m")
    change_config(folder, problem_type=kind)
    with pytest.raises(InputError, match="expected one label out of several classes"):
        load_source(folder)


def test_refuses_a_head_that_was_never_trained(tiny, tmp_path: Path) -> None:
    folder = copy_without(tiny("bert").folder, tmp_path / "m")
    weights = load_file(folder / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"no weights for classifier\.weight"):
        load_source(folder)


def test_cut_off_weights_are_one_line(tiny, tmp_path: Path) -> None:
    folder = copy_without(tiny("bert").folder, tmp_path / "m")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(InputError, match="cannot load") as raised:
        load_source(folder)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"model_type": "no such family", "architectures": ["XForSequenceClassification"]}']
)
def test_an_unreadable_configuration_is_one_line(tiny, tmp_path: Path, content: str) -> None:
    folder = copy_without(tiny("bert").folder, tmp_path / "m")
    (folder / "config.json").write_text(content)
    with pytest.raises(InputError) as raised:
        load_source(folder)
    assert "\n" not in str(raised.value)


def test_half_precision_checkpoints_are_traced_in_single(tiny, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    transformers.AutoModelForSequenceClassification.from_pretrained(
        tiny("bert").folder, dtype=torch.bfloat16
    ).save_pretrained(folder)
    assert next(load_source(folder).module.parameters()).dtype == torch.float32


@pytest.mark.parametrize(
    "extra",
    [
        "bert.encoder.layer.7.output.dense.bias",
        "bert.encoder.layer.0.attention.self.distance_embedding.weight",  # of relative positions
        "classifier.dense.weight",
    ],
)
def test_refuses_weights_that_have_no_place(tiny, tmp_path: Path, extra: str) -> None:
    """A deeper model, or another head: it would be exported as something else."""
    folder = copy_without(tiny("bert").folder, tmp_path / "m")
    weights = load_file(folder / "model.safetensors")
    spare = weights["classifier.bias"].clone()
    harmless = ("cls.predictions.bias", "bert.embeddings.position_ids")  # an earlier task's head, a table
    kept = {**weights, **{name: spare.clone() for name in harmless}}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    load_source(folder)
    save_file({**weights, extra: spare}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=f"holds {re.escape(extra)}, which a bert classifier"):
        load_source(folder)


def test_refuses_adapters_and_classifiers_with_code(tiny, tmp_path: Path) -> None:
    folder = copy_without(tiny("bert").folder, tmp_path / "m")
    change_config(folder, auto_map={"AutoModelForSequenceClassification": "mine.Mine"})
    with pytest.raises(InputError, match="code of its own"):
        load_source(folder)
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match="holds an adapter: merge it into the weights that it is for"):
        load_source(folder)
    for name in ("config.json", "model.safetensors"):  # as it is trained
        (folder / name).unlink()
        with pytest.raises(InputError, match="holds an adapter: merge it into the weights that it is for"):
            load_source(folder)


def test_a_pointer_to_weights_is_told_as_such(tiny, tmp_path: Path) -> None:
    folder = copy_without(tiny("bert").folder, tmp_path / "m")
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n")
    with pytest.raises(InputError, match=r"model\.safetensors' is a pointer of Git LFS.*: fetch them, git lfs pull"):
        load_source(folder)


def test_tables_that_older_checkpoints_store_are_no_weights(tiny, tmp_path: Path) -> None:
    folder = copy_without(tiny("bert").folder, tmp_path / "m")
    tables = {
        "bert.encoder.layer.0.attention.self.rotary.inv_freq": torch.ones(4),
        "bert.encoder.layer.0.attention.masked_bias": torch.ones(1),
        "bert.encoder.layer.0.attn.bias": torch.ones(1, 1, 4, 4),
        "lm_head.weight": torch.ones(2),
    }
    weights = {**load_file(folder / "model.safetensors"), **tables}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    load_source(folder)


def test_attention_to_blocks_is_told_what_to_set(tmp_path: Path) -> None:
    folder = untrained(transformers.BigBirdConfig, tmp_path / "m", attention_type="block_sparse")
    with pytest.raises(InputError, match='set "attention_type": "original_full" in config'):
        load_source(folder)
