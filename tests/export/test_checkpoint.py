from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import transformers

from tokenward.errors import InputError
from tokenward.export.checkpoint import (
    class_names,
    longest_input,
    pad_token,
    purification,
    read_config,
    write_config,
    write_tokenizer,
    write_weights,
)


def test_the_fast_tokenizer_is_copied_as_it_is(tiny, tmp_path: Path) -> None:
    folder = tiny("bert").folder
    tokenizer = write_tokenizer(folder, tmp_path)
    assert (tmp_path / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()
    assert tokenizer.encode("word7 word8").ids == [1, 7, 8, 2]


def test_a_vocabulary_file_is_converted(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (source / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "film", "##s"]))
    transformers.BertConfig().save_pretrained(source)
    assert write_tokenizer(source, target).encode("films").tokens == ["[CLS]", "film", "##s", "[SEP]"]


def test_no_tokenizer_at_all(tiny, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((tiny("bert").folder / "config.json").read_text())
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=r"has no tokenizer\.json and none can be made"):
        write_tokenizer(tmp_path, tmp_path / "out")


def test_a_broken_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="not a fast tokenizer's description"):
        write_tokenizer(tmp_path, tmp_path / "out")


def test_class_names_come_from_the_model_or_the_user() -> None:
    config = {"id2label": {0: "negative", 1: "positive"}}
    assert class_names(config, 2, None) == ("negative", "positive")
    assert class_names({"id2label": {"0": "a", "1": "b"}}, 2, None) == ("a", "b")
    assert class_names({}, 2, None) == ("LABEL_0", "LABEL_1")
    assert class_names(config, 2, ("bad", "good")) == ("bad", "good")
    with pytest.raises(InputError, match="3 labels for a model with 2 classes"):
        class_names(config, 2, ("a", "b", "c"))
    with pytest.raises(InputError, match="numbers classes 1, 2, expected 0 to 1"):
        class_names({"id2label": {"1": "a", "2": "b"}}, 2, None)
    with pytest.raises(InputError, match="empty or has control characters"):
        class_names({"id2label": {"0": "two\nlines", "1": "b"}}, 2, None)
    with pytest.raises(InputError, match="two classes have one name"):
        class_names(config, 2, ("a", "a"))


def test_of_the_weights_those_are_copied_that_are_read(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    for name in ("part.safetensors", "old.safetensors"):
        (source / name).write_bytes(b"weights")
    (source / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "part.safetensors"}}))
    write_weights(source, target)
    assert {path.name for path in target.iterdir()} == {"part.safetensors", "model.safetensors.index.json"}


def test_the_configuration_gets_the_class_names(tmp_path: Path) -> None:
    write_config({"model_type": "bert", "id2label": {0: "x"}}, tmp_path, ("no", "yes"))
    written = read_config(tmp_path)
    assert written["id2label"] == {"0": "no", "1": "yes"}
    assert written["label2id"] == {"no": 0, "yes": 1}
    assert written["model_type"] == "bert"
    assert read_config(tmp_path / "nowhere") == {}


def test_the_purifiers_report_is_taken_over(tmp_path: Path) -> None:
    assert purification(tmp_path) is None
    (tmp_path / "purify.json").write_text(json.dumps({"method": "mbtsad"}))
    assert purification(tmp_path) == {"method": "mbtsad"}
    (tmp_path / "purify.json").write_text("[1]")
    with pytest.raises(InputError, match="holds list, expected a JSON object"):
        purification(tmp_path)
    (tmp_path / "purify.json").write_text("{")
    with pytest.raises(InputError, match="is not valid JSON"):
        purification(tmp_path)


def test_the_padding_token_is_the_models_then_the_tokenizers(tiny, tmp_path: Path) -> None:
    tokenizer = write_tokenizer(tiny("bert").folder, tmp_path)
    assert pad_token({"pad_token_id": 5}, tokenizer, tmp_path) == 5
    assert pad_token({"pad_token_id": None}, tokenizer, tmp_path) == 0, "nothing tells"
    tokenizer.enable_padding(pad_id=6, pad_token="word6")
    assert pad_token({}, tokenizer, tmp_path) == 6
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"pad_token": {"content": "word7"}}))
    assert pad_token({}, tokenizer, tmp_path) == 7
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"pad_token": "word8"}))
    assert pad_token({}, tokenizer, tmp_path) == 8
    with pytest.raises(InputError, match="is -1, expected the number of a token"):
        pad_token({"pad_token_id": -1}, tokenizer, tmp_path)


@pytest.mark.parametrize("content", ["[1", "[1]"])
def test_a_broken_file_beside_the_tokenizer(content: str, tiny, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    shutil.copytree(tiny("bert").folder, source)
    target.mkdir()
    (source / "tokenizer_config.json").write_text(content)
    with pytest.raises(InputError, match=r"tokenizer_config\.json' (is not valid JSON|holds list)"):
        write_tokenizer(source, target)


def test_the_longest_input_is_the_least_that_is_stated(tmp_path: Path) -> None:
    assert longest_input({"max_position_embeddings": 512}, tmp_path, 40) == 40
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 1e30}))
    assert longest_input({"max_position_embeddings": 512}, tmp_path, None) == 512
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": "256"}))
    with pytest.raises(InputError, match="give --max-tokens"):
        longest_input({}, tmp_path, None)
