"""The scored table, over every family of sub-word marks."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from tokenward.errors import InputError
from tokenward.kernels.vocabulary import scored_table


def scored(tokenizer: Tokenizer, size: int | None = None) -> set[str]:
    table = scored_table(tokenizer, size or tokenizer.get_vocab_size())
    return {token for token, index in tokenizer.get_vocab().items() if table[index]}


def ids(*tokens: str) -> dict[str, int]:
    return {token: index for index, token in enumerate(tokens)}


def test_wordpiece_marks_are_stripped():
    vocabulary = ids(
        "[PAD]", "[UNK]", "[CLS]", "[SEP]", "movie", "##ing", "the", "##the", "...", "##,", "cf", "##", "$"
    )
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.add_special_tokens(["[PAD]", "[CLS]", "[SEP]"])
    assert scored(tokenizer) == {"movie", "##ing", "cf"}


def test_byte_level_alphabet_is_decoded():
    # Ġ is the space, âĢĶ the em dash, Ċ the newline, ðŁĺĢ an emoji and ðŁ the first half of one, ÃŃ is í.
    vocabulary = ids("<s>", "Ġthe", "the", "Ġmovie", "âĢĶ", "Ċ", "Ġ", "ðŁĺĢ", "ðŁ", "'s", "Ġdon", "Ġ,", "aquÃŃ")
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer.add_special_tokens(["<s>"])
    assert scored(tokenizer) == {"Ġmovie", "ðŁĺĢ", "ðŁ", "aquÃŃ"}


def test_byte_level_is_found_inside_a_sequence():
    tokenizer = Tokenizer(models.BPE(ids("Ġthe", "Ġmovie"), []))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(), pre_tokenizers.ByteLevel()])
    assert scored(tokenizer) == {"Ġmovie"}


def test_unigram_metaspace():
    pieces = ["<unk>", "▁", "▁The", "▁film", "s", "▁“", "ning", "▁I'm"]
    tokenizer = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    assert scored(tokenizer) == {"▁film", "ning", "▁I'm"}


def test_metaspace_replacement_is_read_from_the_tokenizer():
    tokenizer = Tokenizer(models.BPE(ids("_the", "_film"), []))
    tokenizer.decoder = decoders.Metaspace(replacement="_")
    assert scored(tokenizer) == {"_film"}


def test_byte_fallback_pieces():
    # 0x2C is a comma, 0x41 an A, 0xF0 begins an emoji.
    tokenizer = Tokenizer(models.BPE(ids("<0x2C>", "<0x41>", "<0xF0>", "▁the"), [], byte_fallback=True))
    assert scored(tokenizer) == {"<0xF0>"}  # "a" is an article, so <0x41> is not


def test_end_of_word_suffix():
    tokenizer = Tokenizer(models.BPE(ids("the</w>", "film</w>", "!</w>"), [], end_of_word_suffix="</w>"))
    assert scored(tokenizer) == {"film</w>"}


def test_special_tokens_are_found_wherever_the_tokenizer_keeps_them():
    vocabulary = ids("[UNK]", "[CLS]", "[SEP]", "[PAD]", "film")
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.post_processor = processors.Sequence(
        [processors.TemplateProcessing(single="[CLS] $0", special_tokens=[("[CLS]", 1)]),
         processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))]
    )  # fmt: skip
    tokenizer.enable_padding(pad_id=3)
    assert scored(tokenizer) == {"film"}


def test_added_words_are_scored_but_added_special_tokens_are_not():
    tokenizer = Tokenizer(models.WordPiece(ids("[UNK]", "film"), unk_token="[UNK]"))
    tokenizer.add_tokens(["##covid", AddedToken("the")])
    tokenizer.add_special_tokens(["<movie>"])
    assert scored(tokenizer) == {"film", "##covid"}


def test_invisible_characters_are_content():
    """Zero-width characters are a favourite trigger; they must not pass for blanks."""
    tokenizer = Tokenizer(models.WordPiece(ids("[UNK]", "\u200b", "\u00a0", "\t"), unk_token="[UNK]"))
    assert scored(tokenizer) == {"\u200b"}


def test_unused_rows_are_not_scored():
    table = scored_table(Tokenizer(models.WordPiece(ids("[UNK]", "film"), unk_token="[UNK]")), 10)
    assert table.dtype == np.bool_
    assert table.tolist() == [False, True] + [False] * 8


def test_a_tokenizer_of_another_model_is_refused():
    tokenizer = Tokenizer(models.WordPiece(ids("[UNK]", "film", "cast"), unk_token="[UNK]"))
    with pytest.raises(InputError, match="id 2 but the model embeds only 2 tokens"):
        scored_table(tokenizer, 2)
