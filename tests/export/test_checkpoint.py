from __future__ import annotations

import json
from pathlib import Path

import pytest

from tokenward.errors import InputError
from tokenward.export.checkpoint import (
    class_names,
    longest_input,
    pad_token,
    purification,
    read_config,
    write_config,
    write_weights,
)


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
    for names in (("a", "a"), ("a", "A"), ("a", "a "), ("1", "1.0")):  # labels in files are matched so
        with pytest.raises(InputError, match="two classes have one name"):
            class_names(config, 2, names)


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


def test_the_padding_token_is_the_models_then_the_tokenizers() -> None:
    assert pad_token({"pad_token_id": 5}, 6) == 5
    assert pad_token({"pad_token_id": None}, 6) == 6
    assert pad_token({}, None) == 0, "nothing tells"
    with pytest.raises(InputError, match="is -1, expected the number of a token"):
        pad_token({"pad_token_id": -1}, None)


def test_the_longest_input_is_the_least_that_is_stated_or_as_wanted() -> None:
    assert longest_input(512, 256, None) == longest_input(None, 256, None) == 256
    assert longest_input(512, None, None) == 512
    assert longest_input(512, 256, 400) == longest_input(None, 256, 400) == 400
    with pytest.raises(InputError, match="is 513: the model reads at most 512 tokens"):
        longest_input(512, 256, 513)
    with pytest.raises(InputError, match="is 2: the least is 3"):
        longest_input(None, None, 2)
    with pytest.raises(InputError, match="nothing says how long a text the model reads: give --max-tokens"):
        longest_input(None, None, None)
    with pytest.raises(InputError, match="2 tokens hold no word: give --max-tokens"):
        longest_input(512, 2, None)
