"""Where a text holds a known trigger: as a word, as a part that marks make, as a token of a longer word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import models, pre_tokenizers

from tokenward.runtime.known import KnownTriggers
from tokenward.runtime.reading import Reading
from tokenward.runtime.tokenization import Tokenizer

VOCABULARY = ("[UNK]", "cf", "##q", "##cf", "x", "film", "-", "mn")


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    table = {word: number for number, word in enumerate(VOCABULARY)}
    fast = FastTokenizer(models.WordPiece(table, unk_token="[UNK]"))
    fast.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    fast.save(str(tmp_path / "tokenizer.json"))
    return Tokenizer(tmp_path / "tokenizer.json", 64, len(VOCABULARY), 0)


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("film cf", {1: [("cf", (5, 7))]}),
        ("cfq film", {0: [(1, (0, 3))]}),  # the token at its start
        ("filmcf", {}),  # "##cf" is another token
        ("x-cf film", {0: [("cf", (1, 4)), (1, (1, 4))]}),
        ("x-cfq film", {0: [(1, (1, 5))]}),
        ("film mn", {}),  # a trigger for another class
    ],
)
def test_what_words_hold(tokenizer: Tokenizer, text: str, held: dict[int, object]) -> None:
    known = KnownTriggers(tokenizer, [frozenset({"cf"}), frozenset({"mn"})])
    reading = Reading(text, tokenizer.encode([text])[0], np.zeros(2, np.float32), {}, None, -1)
    assert known.held(reading, 0) == held


def test_a_class_without_triggers_holds_none(tokenizer: Tokenizer) -> None:
    known = KnownTriggers(tokenizer, [frozenset({"cf"}), frozenset()])
    reading = Reading("cf", tokenizer.encode(["cf"])[0], np.zeros(2, np.float32), {}, None, -1)
    assert known.held(reading, 1) == {}
    assert (known.is_known("cf", 0), known.is_known("cf", 1)) == (True, False)
