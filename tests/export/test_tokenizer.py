from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from tokenward.errors import InputError
from tokenward.export.agreement import batches_of
from tokenward.export.random_texts import RandomTexts
from tokenward.export.tokenizer import padding_token, stated_length, write_tokenizer
from tokenward.runtime.tokenization import Tokenizer as Served

TEXTS = ["a fine film that moves you", "A dull FILM, naïve and lifeless", "crème brûlée 日本語", "[SEP] </s> ends"] * 8
PROBES = [
    *TEXTS[:4],
    "  two  blanks",
    "tok [SEP] tok[MASK]x <mask> y</s>",
    "foo <extra> bar",
    "It's 🙂 ﬁne",
    "word " * 30,
]
BERT = dict(zip(("pad", "unk", "cls", "sep", "mask"), ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), strict=True))
ROBERTA = dict(zip(("bos", "pad", "eos", "unk", "mask"), ("<s>", "<pad>", "</s>", "<unk>", "<mask>"), strict=True)) | {
    "cls": "<s>",
    "sep": "</s>",
}
Folder = Callable[..., Path]


def wordpiece() -> Tokenizer:
    fast = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    fast.normalizer = normalizers.BertNormalizer(lowercase=True)
    fast.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    fast.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=200, special_tokens=list(BERT.values())))
    fast.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return fast


def byte_level() -> Tokenizer:
    fast = Tokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = list(dict.fromkeys(ROBERTA.values()))
    fast.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=330, special_tokens=special, initial_alphabet=alphabet)
    )
    fast.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    return fast


@pytest.fixture
def folder_of(tmp_path: Path) -> Folder:
    """Makes the folder of a tokenizer, with what stands beside it."""

    def make(fast: Tokenizer, kind: str, **beside: Any) -> Path:
        folder = tmp_path / "source"
        folder.mkdir()
        fast.save(str(folder / "tokenizer.json"))
        names, own = (BERT, "BertTokenizer") if kind == "bert" else (ROBERTA, "RobertaTokenizer")
        content = {"tokenizer_class": own, **{f"{name}_token": token for name, token in names.items()}, **beside}
        (folder / "tokenizer_config.json").write_text(json.dumps(content))
        (folder / "config.json").write_text(json.dumps({"model_type": kind}))
        (tmp_path / "target").mkdir()
        return folder

    return make


def ids_of(folder: Path, texts: list[str]) -> list[list[int]]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return [tokenizer(text)["input_ids"] for text in texts]


@pytest.mark.parametrize(
    "beside",
    [
        {},
        {"do_lower_case": False},
        {"strip_accents": False},
        {"tokenize_chinese_chars": False},
        {"additional_special_tokens": ["<extra>"]},
        {"cls_token": "[NEW]"},
        {"sep_token": "[MASK]"},
        {"split_special_tokens": True},
        {"tokenizer_class": "PreTrainedTokenizerFast", "split_special_tokens": True},
    ],
    ids=str,
)
def test_a_text_is_read_as_transformers_reads_it(beside: dict[str, Any], folder_of: Folder, tmp_path: Path) -> None:
    source, target = folder_of(wordpiece(), "bert", **beside), tmp_path / "target"
    written = write_tokenizer(source, target, {"model_type": "bert"})
    expected = ids_of(source, PROBES)
    assert [written.encode(text).ids for text in PROBES] == expected
    served = Served(target / "tokenizer.json", 64, 300, 0)
    assert [encoding.ids.tolist() for encoding in served.encode(PROBES)] == expected
    assert [served.encode_whole(text).ids.tolist() for text in PROBES] == expected
    assert ids_of(target, PROBES) == expected, "transformers opens the artifact"
    feeds = list(batches_of(PROBES, written, RandomTexts([True] * 300, 0, 64, 0)))
    assert sorted(feeds[0]["attention_mask"].sum(axis=1)) == sorted(map(len, expected))


@pytest.mark.parametrize("prefix", [True, False])
def test_a_blank_before_the_text(prefix: bool, folder_of: Folder, tmp_path: Path) -> None:
    source, target = folder_of(byte_level(), "roberta", add_prefix_space=prefix), tmp_path / "target"
    write_tokenizer(source, target)
    served = Served(target / "tokenizer.json", 256, 400, 1)
    assert [encoding.ids.tolist() for encoding in served.encode(PROBES)] == ids_of(source, PROBES)
    assert served.starts_differ is not prefix
    assert padding_token(target, served.fast) == 1


def test_what_cuts_and_pads_is_left_to_the_runtime(folder_of: Folder, tmp_path: Path) -> None:
    fast, target = wordpiece(), tmp_path / "target"
    fast.enable_truncation(8)
    fast.enable_padding(pad_id=0, pad_token="[PAD]", length=8)
    written = write_tokenizer(folder_of(fast, "bert", model_max_length=32), target)
    assert len(written.encode("word " * 30).ids) > 30
    assert (written.truncation, written.padding, stated_length(target)) == (None, None, 32)


@pytest.mark.parametrize("where", ["beside", "inside"])
def test_a_tokenizer_that_reads_the_end_of_long_texts(where: str, folder_of: Folder, tmp_path: Path) -> None:
    fast = wordpiece()
    if where == "inside":
        fast.enable_truncation(8, direction="left")
    source = folder_of(fast, "bert", **({"truncation_side": "left"} if where == "beside" else {}))
    with pytest.raises(InputError, match=r"cuts the beginning off long texts .* set \"truncation_side\": \"right\""):
        write_tokenizer(source, tmp_path / "target")


def test_tokens_that_the_model_has_no_row_for(folder_of: Folder, tmp_path: Path) -> None:
    """As a class names them by default, whether the vocabulary has them or not."""
    source, target = folder_of(wordpiece(), "bert", mask_token="[OTHER]"), tmp_path / "target"
    rows = wordpiece().get_vocab_size()
    written = write_tokenizer(source, target, {"model_type": "bert", "vocab_size": rows})
    assert max(written.get_vocab().values()) == rows - 1
    assert "mask_token" not in json.loads((target / "tokenizer_config.json").read_text())


def test_a_tokenizer_of_which_more_than_its_description_reads(
    folder_of: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, plain = folder_of(wordpiece(), "bert"), transformers.BertTokenizer._encode_plus

    def otherwise(self: Any, text: str, *args: Any, **kwargs: Any) -> Any:
        return plain(self, text.replace("two", "film") if isinstance(text, str) else text, *args, **kwargs)

    monkeypatch.setattr(transformers.BertTokenizer, "_encode_plus", otherwise)
    monkeypatch.setattr("tokenward.export.tokenizer._PROBES", ("one", "two"))
    with pytest.raises(InputError, match="reads 'two' otherwise than its description says"):
        write_tokenizer(source, tmp_path / "target")


def test_code_of_its_own_is_not_run(folder_of: Folder, tmp_path: Path) -> None:
    source = folder_of(wordpiece(), "own", tokenizer_class="Mine", auto_map={"AutoTokenizer": [None, "mine.Mine"]})
    (source / "mine.py").write_text("raise SystemExit('run')")
    with pytest.raises(InputError, match="transformers cannot open the tokenizer in"):
        write_tokenizer(source, tmp_path / "target")


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


@pytest.mark.parametrize("content", ["[1", "[1]"])
def test_a_broken_file_beside_the_tokenizer(content: str, tiny, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    shutil.copytree(tiny("bert").folder, source)
    target.mkdir()
    (source / "tokenizer_config.json").write_text(content)
    with pytest.raises(InputError, match=r"tokenizer_config\.json' (is not valid JSON|holds list)"):
        write_tokenizer(source, target)
