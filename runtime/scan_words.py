"""Which words a scan tries: those that the tokenizer knows whole, and the shortest that it does not."""

from __future__ import annotations

from itertools import product
from string import ascii_lowercase

from ..kernels.vocabulary import token_texts
from .tokenization import Tokenizer


def scan_words(tokenizer: Tokenizer) -> list[str]:
    """All words that a scan tries, each once."""
    return [*vocabulary_words(tokenizer), *short_words(tokenizer)]


def vocabulary_words(tokenizer: Tokenizer) -> list[str]:
    """Words that the tokenizer reads as one token, in the order of their ids, each normalised and named once."""
    surfaces = [text for _, text in sorted(token_texts(tokenizer.fast).items()) if "\ufffd" not in text]
    return [word for word, pieces in _as_words(tokenizer, surfaces).items() if pieces == 1]


def short_words(tokenizer: Tokenizer) -> list[str]:
    """Words of two letters that take several tokens: "cf" and its like, the triggers of most published attacks.

    Tokenizers with a large vocabulary have most of them whole, those with a small one hardly any.
    """
    return [word for word, pieces in _as_words(tokenizer, _PAIRS).items() if pieces > 1]


def _as_words(tokenizer: Tokenizer, surfaces: list[str]) -> dict[str, int]:
    """Those of some texts that are one word in the middle of a text, normalised, with the tokens that each takes."""
    names = [name for name in dict.fromkeys(map(tokenizer.names.of, surfaces)) if name]
    after_another = tokenizer.encode([f"{name} {name}" for name in names])
    return {
        name: int((encoding.words == 1).sum())
        for name, encoding in zip(names, after_another, strict=True)
        if encoding.word_count == 2
    }


_PAIRS = ["".join(letters) for letters in product(ascii_lowercase, repeat=2)]
