"""What is told before a training: classes, the longest text, and whether its folder can be made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import transformers

from tokenward.errors import InputError
from tokenward.purify.foresight import (
    check_new_folder,
    check_place,
    fitting_length,
    known_classes,
    own_classes,
    readable_length,
)
from tokenward.texts import LabelledTexts

SMALL = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}


@pytest.mark.parametrize(
    ("config", "most"),
    [
        (transformers.BertConfig(**SMALL, max_position_embeddings=60), 60),
        (transformers.RobertaConfig(**SMALL, max_position_embeddings=60, pad_token_id=1), 58),
        (transformers.MPNetConfig(**SMALL, max_position_embeddings=60, pad_token_id=1), 58),
        (transformers.GPT2Config(vocab_size=20, n_embd=8, n_layer=1, n_head=2, n_positions=60), 60),
        (transformers.ModernBertConfig(**SMALL, max_position_embeddings=60, pad_token_id=1), 60),
    ],
)
def test_the_longest_text_is_known_without_weights(tmp_path: Path, config: object, most: int) -> None:
    config.save_pretrained(tmp_path)  # type: ignore[attr-defined]
    assert readable_length(tmp_path) == most
    assert fitting_length(tmp_path, None) == most
    assert fitting_length(tmp_path, most) == most
    with pytest.raises(InputError, match=f"max length {most + 1}: .* reads {most} tokens at most: give {most} or"):
        fitting_length(tmp_path, most + 1)


def test_the_usual_length_where_a_model_reads_more(tmp_path: Path) -> None:
    transformers.BertConfig(**SMALL, max_position_embeddings=512).save_pretrained(tmp_path)
    assert fitting_length(tmp_path, None) == 128


def test_classes_before_training(tiny_encoder: Path, classifier_dir: Path) -> None:
    data = LabelledTexts(("x", "y"), (0, 1), ("yes", "no"))
    assert known_classes(tiny_encoder, data) == {0: "yes", 1: "no"}
    assert known_classes(classifier_dir, data) == own_classes(classifier_dir) == {0: "bad", 1: "good"}
    with pytest.raises(InputError, match="not a sequence classifier"):
        own_classes(tiny_encoder)


@pytest.mark.parametrize(
    ("kind", "labels", "says"),
    [
        ("multi_label_classification", 3, "gives multi_label_classification"),
        ("regression", 3, "gives regression"),
        (None, 1, "gives one number"),
    ],
)
def test_a_model_whose_answer_is_not_one_label_is_refused_before_training(
    tmp_path: Path, kind: str | None, labels: int, says: str
) -> None:
    data = LabelledTexts(("x", "y"), (0, 1), ("LABEL_0", "LABEL_1"))
    config = transformers.BertConfig(**SMALL, num_labels=labels, problem_type=kind)
    config.save_pretrained(tmp_path)
    if kind is None:
        assert known_classes(tmp_path, data), "an encoder gets a head of its own"
    else:
        with pytest.raises(InputError, match=f"{says}, expected one label out of several classes"):
            known_classes(tmp_path, data)
    config.architectures = ["BertForSequenceClassification"]
    config.save_pretrained(tmp_path)
    for classes in (lambda: known_classes(tmp_path, data), lambda: own_classes(tmp_path)):
        with pytest.raises(InputError, match=f"{says}, expected one label out of several classes"):
            classes()


def test_a_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_new_folder(tmp_path / "deep" / "out")
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "out", tmp_path / "file" / "deep" / "out"):
        with pytest.raises(InputError, match=r"out' cannot be made: '.*file' is not a folder"):
            check_new_folder(path)
    with pytest.raises(InputError, match="exists already"):
        check_new_folder(tmp_path / "file")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    with pytest.raises(InputError, match="exists already"):
        check_new_folder(tmp_path / "nowhere")
    monkeypatch.setattr(os, "access", lambda *_: False)  # whoever runs the tests may write anywhere
    with pytest.raises(InputError, match="is not yours to write to"):
        check_place(tmp_path / "deep" / "out")
