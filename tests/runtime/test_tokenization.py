"""Words with character offsets, for every kind of tokenizer, padding and scripts included."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers

from tokenward.errors import ArtifactError, InputError
from tokenward.runtime.scan_words import vocabulary_words
from tokenward.runtime.tokenization import Tokenizer

CORPUS = [
    "unbelievable films don't cost much",
    "the café in the house , a film !",
    "你好吗 很好",
    "emoji 😀👍🏽 too",
    *"abcdefghijklmnopqrstuvwxyz0123456789!?;,.:'()/@-",
] * 20


def wordpiece() -> FastTokenizer:
    fast = FastTokenizer(models.WordPiece(unk_token="[UNK]"))
    fast.normalizer = normalizers.BertNormalizer()
    fast.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=120, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    fast.train_from_iterator(CORPUS, trainer)
    ends = [(token, fast.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    fast.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return fast


def byte_level() -> FastTokenizer:
    fast = FastTokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    fast.train_from_iterator(CORPUS, trainer)
    fast.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0), trim_offsets=True)
    return fast


def sentencepiece() -> FastTokenizer:
    fast = FastTokenizer(models.Unigram())
    fast.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=150, special_tokens=["<s>", "</s>", "<unk>"], unk_token="<unk>")
    fast.train_from_iterator(CORPUS, trainer)
    fast.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
    return fast


KINDS = {"wordpiece": wordpiece, "byte_level": byte_level, "sentencepiece": sentencepiece}


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    made = {}
    for kind, make in KINDS.items():
        fast = make()
        path = tmp_path_factory.mktemp(kind) / "tokenizer.json"
        fast.save(str(path))
        made[kind] = Tokenizer(path, max_tokens=32, vocabulary_size=fast.get_vocab_size(), pad_id=0)
    return made


def words(tokenizer: Tokenizer, text: str) -> list[str]:
    (encoding,) = tokenizer.encode([text])
    return [text[slice(*encoding.span(word, word))].strip() for word in range(encoding.word_count)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unbelievable films", ["unbelievable", "films"]),
        ("a film, the house!", ["a", "film", ",", "the", "house", "!"]),
        ("  the   café ", ["the", "café"]),
        ("a://b.c/1, (half-film) !", ["a://b.c/1", ",", "(", "half-film", ")", "!"]),
        ("a.b -c- :-) d", ["a.b", "-", "c", "-", ":", "-", ")", "d"]),
        ("it's; me@b.org's.", ["it's", ";", "me@b.org's", "."]),
    ],
)
def test_pieces_are_joined_to_whole_words(
    tokenizers: dict[str, Tokenizer], kind: str, text: str, expected: list[str]
) -> None:
    assert words(tokenizers[kind], text) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_without_blanks_is_not_one_word(tokenizers: dict[str, Tokenizer], kind: str) -> None:
    assert words(tokenizers[kind], "a-" * 6 + "a") == [*"a-a-a-a-a-a-a"]
    assert words(tokenizers[kind], "a-" * 5 + "a b") == ["a-a-a-a-a-a", "b"]
    assert len(words(tokenizers[kind], "a-你好-a")) > 3


def test_scripts_without_spaces_are_not_one_word(tokenizers: dict[str, Tokenizer]) -> None:
    assert words(tokenizers["wordpiece"], "你好吗") == ["你", "好", "吗"]
    assert len(words(tokenizers["sentencepiece"], "你好吗很好")) > 1


@pytest.mark.parametrize("kind", KINDS)
def test_few_letters_of_such_a_script_among_other_words_are_one(tokenizers: dict[str, Tokenizer], kind: str) -> None:
    """A trigger of two or three of them would share the attention that it draws among words of their own."""
    for text in ("the 很好 film", "很好 film", "a , 你好吗很好吗 !"):
        assert words(tokenizers[kind], text) == text.split()


def test_many_letters_of_such_a_script_are_not_one_word(tokenizers: dict[str, Tokenizer]) -> None:
    assert words(tokenizers["wordpiece"], "the 你好吗很好吗你 film") == ["the", *"你好吗很好吗你", "film"]


def test_an_emoji_of_several_pieces_is_never_parted(tokenizers: dict[str, Tokenizer]) -> None:
    assert "😀" in "".join(words(tokenizers["byte_level"], "a 😀 b"))
    assert all("\ufffd" not in word for word in words(tokenizers["byte_level"], "a 😀 b"))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.text(max_size=40), min_size=1, max_size=5))
def test_words_cover_their_pieces_in_order(tokenizers: dict[str, Tokenizer], kind: str, texts: list[str]) -> None:
    tokenizer = tokenizers[kind]
    together = tokenizer.encode(texts)
    for text, encoding in zip(texts, together, strict=True):
        (alone,) = tokenizer.encode([text])
        assert alone.ids.tolist() == encoding.ids.tolist()
        assert alone.words.tolist() == encoding.words.tolist()
        real = encoding.words[encoding.words >= 0]
        assert sorted(set(real.tolist())) == list(range(encoding.word_count))
        assert (real[1:] >= real[:-1]).all()
        for word in range(encoding.word_count):
            start, end = encoding.span(word, word)
            assert 0 <= start <= end <= len(text)


def test_truncation_is_flagged(tokenizers: dict[str, Tokenizer]) -> None:
    short, long = tokenizers["wordpiece"].encode(["film", "film " * 100])
    assert (short.truncated, long.truncated, len(long)) == (False, True, 32)


LONG = st.lists(
    st.sampled_from(
        ["films ", "café ", "你好", "吗很", "😀", " - ", "don't", "aaaaaaa", "\n\n", "  ", "e\u0301", "<s>", "[SEP]"]
    ),
    min_size=30,
    max_size=300,
).map("".join)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100, deadline=None)
@given(texts=st.lists(LONG, min_size=1, max_size=3))
def test_of_a_long_text_the_beginning_is_read_as_before_its_end(
    tokenizers: dict[str, Tokenizer], kind: str, texts: list[str]
) -> None:
    tokenizer = tokenizers[kind]
    for text, got, want in zip(texts, tokenizer.encode(texts), tokenizer.fast.encode_batch(texts), strict=True):
        assert got.ids.tolist() == want.ids, text
        assert list(zip(got.starts.tolist(), got.ends.tolist(), strict=True)) == want.offsets
        assert got.truncated == bool(want.overflowing)


@pytest.mark.parametrize("kind", KINDS)
def test_the_end_of_a_long_text_costs_nothing(
    tokenizers: dict[str, Tokenizer], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer, seen = tokenizers[kind], list[int]()

    class Counting:
        """Notes how many characters the library is given."""

        def encode_batch(self, texts: list[str]) -> list[object]:
            seen.extend(map(len, texts))
            return list(fast.encode_batch(texts))

    fast = tokenizer.fast
    monkeypatch.setattr(tokenizer, "fast", Counting())
    (encoding,) = tokenizer.encode(["a film in the house, " * 1000])
    assert (len(encoding), seen) == (32, [256])
    seen.clear()
    tokenizer.encode(["a" * 5000])  # one word: its end may decide how it is read
    assert seen == [256, 5000]
    with pytest.raises(InputError, match="text 1 is not valid Unicode"):
        tokenizer.encode(["a", "film " * 1000 + "\ud800"])


def test_a_text_can_be_read_to_its_end(tokenizers: dict[str, Tokenizer]) -> None:
    text = "films " * 50
    for tokenizer in tokenizers.values():
        (read,) = tokenizer.encode([text])
        whole = tokenizer.encode_whole(text)
        assert read.truncated
        assert not whole.truncated
        assert whole.word_count == 50
        starts, ends = whole.edges
        assert [text[a:b].strip() for a, b in zip(starts, ends, strict=True)] == ["films"] * 50
        assert (starts[: read.word_count - 1], ends[: read.word_count - 1]) == tuple(e[:-1] for e in read.edges)


def test_no_thread_sees_the_tokenizer_of_whole_texts_while_it_still_cuts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wordpiece().save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer(tmp_path / "tokenizer.json", 8, 120, 0)
    seen: list[int] = []

    class Slow:
        """Between what makes it and what makes it ready, another thread reads a text."""

        def __init__(self, description: str) -> None:
            self.fast = FastTokenizer.from_str(description)

        from_str = classmethod(lambda cls, description: cls(description))

        def no_truncation(self) -> None:
            if not seen:
                seen.append(0)
                seen.append(len(tokenizer.encode_whole("film " * 50)))
            self.fast.no_truncation()

        def encode(self, text: str) -> object:
            return self.fast.encode(text)

    monkeypatch.setattr("tokenward.runtime.tokenization.FastTokenizer", Slow)
    assert len(tokenizer.encode_whole("film " * 50)) == 52
    assert seen[1] == 52


def test_special_tokens_in_a_text_are_characters_where_the_model_has_it_so(tmp_path: Path) -> None:
    wordpiece().save(str(tmp_path / "tokenizer.json"))
    beside = tmp_path / "tokenizer_config.json"

    def ids(text: str) -> list[list[int]]:
        tokenizer = Tokenizer(tmp_path / "tokenizer.json", 32, 120, 0)
        return [tokenizer.encode([text])[0].ids.tolist(), tokenizer.encode_whole(text).ids.tolist()]

    assert [read.count(3) for read in ids("films [SEP] cost")] == [2, 2], "as in artifacts that say nothing"
    beside.write_text('{"split_special_tokens": true}')
    assert [read.count(3) for read in ids("films [SEP] cost")] == [1, 1]
    beside.write_text('{"split_special_tokens": false}')
    assert [read.count(3) for read in ids("films [SEP] cost")] == [2, 2]
    for broken in ("[", "[]"):
        beside.write_text(broken)
        with pytest.raises(ArtifactError, match=r"tokenizer_config\.json is not a JSON object: export the model again"):
            ids("films")


def test_a_text_without_tokens_is_read_as_padding(tmp_path: Path) -> None:
    fast = byte_level()
    fast.post_processor = processors.ByteLevel(trim_offsets=True)  # adds no tokens of its own, as GPT-2's
    fast.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer(tmp_path / "tokenizer.json", max_tokens=8, vocabulary_size=320, pad_id=1)
    for texts in ([""], ["", "films"], ["films", ""], ["", ""]):
        encodings = tokenizer.encode(texts)
        assert [encoding.word_count for encoding in encodings] == [len(text.split()) for text in texts]
        empty = encodings[texts.index("")]
        assert (empty.ids.tolist(), empty.words.tolist()) == ([1], [-1])


def test_bad_input_names_the_text(tokenizers: dict[str, Tokenizer], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="text 1 is bytes, expected a string"):
        tokenizers["wordpiece"].encode(["a", b"b"])  # type: ignore[list-item]
    with pytest.raises(InputError, match="text 2 is not valid Unicode"):
        tokenizers["wordpiece"].encode(["a", "b", "\udfff"])
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"tokenizer\.json is not a fast tokenizer"):
        Tokenizer(tmp_path / "tokenizer.json", 32, 10, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_words_of_one_token_are_those_of_one_token_inside_a_text(tokenizers: dict[str, Tokenizer], kind: str) -> None:
    tokenizer = tokenizers[kind]
    whole = vocabulary_words(tokenizer)
    assert whole
    assert len(whole) == len(set(whole))
    for word in whole:
        (encoding,) = tokenizer.encode([f"too {word}"])
        assert int((encoding.words == encoding.word_count - 1).sum()) == 1, word


@pytest.mark.parametrize("blank", ["\u3000", "\u2009", "\u2003", "\u2028", "\u00a0", "\x85"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_blank_that_is_read_byte_by_byte_is_no_word(tokenizers: dict[str, Tokenizer], kind: str, blank: str) -> None:
    text = f"a film {blank} too"
    (encoding,) = tokenizers[kind].encode([text])
    assert [text[start:end].strip() for start, end in zip(*encoding.edges, strict=True)] == ["a", "film", "too"]


@pytest.mark.parametrize("model", [models.WordPiece, models.WordLevel])
def test_a_tokenizer_that_has_no_token_for_what_it_does_not_know(tmp_path: Path, model: type) -> None:
    fast = FastTokenizer(model({"a": 0, "b": 1}, unk_token="[UNK]"))
    fast.pre_tokenizer = pre_tokenizers.Whitespace()
    fast.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer(tmp_path / "tokenizer.json", 16, 2, 0)
    assert [encoding.ids.tolist() for encoding in tokenizer.encode(["a b", "b"])] == [[0, 1], [1]]
    with pytest.raises(InputError, match="text 1 has a character that the model's tokenizer cannot read"):
        tokenizer.encode(["a b", "a z"])
