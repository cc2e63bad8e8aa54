"""Fast tokenisation: texts to token ids with character offsets, and pieces joined to whole words."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer as FastTokenizer

from ..errors import ArtifactError, InputError
from ..kernels.vocabulary import token_texts

Ints = NDArray[np.int64]

# Scripts written without spaces: a run of letters there is not one word.
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")

# Names of words that are remembered: every word of a ranking is named, and texts repeat their words.
_WORDS_KEPT = 16_384
_LONGEST_WORD_KEPT = 32


@dataclass(frozen=True, slots=True)
class Encoding:
    """One tokenised text of n tokens, special tokens included.

    Attributes:
        ids: int64 [n].
        starts, ends: int64 [n], character offsets into the text; both 0 at special tokens.
        words: int64 [n], index of the word a piece belongs to, −1 at special tokens and at blanks.
        truncated: the text was longer than the model reads.
    """

    ids: Ints
    starts: Ints
    ends: Ints
    words: Ints
    truncated: bool

    def __len__(self) -> int:
        return len(self.ids)

    def span(self, first: int, last: int) -> tuple[int, int]:
        """Character offsets from the start of word ``first`` to the end of word ``last``."""
        inside = ((self.words >= first) & (self.words <= last)).nonzero()[0]
        return int(self.starts[inside[0]]), int(self.ends[inside[-1]])

    @property
    def word_count(self) -> int:
        """Words that were read."""
        return int(self.words.max(initial=-1)) + 1


class Tokenizer:
    """The artifact's fast tokenizer, truncating to what the model reads; padding is left to the batches."""

    def __init__(self, path: Path, max_tokens: int, vocabulary_size: int, pad_id: int) -> None:
        """Load ``tokenizer.json``.

        Raises:
            ArtifactError: the file is not a fast tokenizer's description.
        """
        try:
            self.fast = FastTokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception for whatever is wrong with a file
            raise ArtifactError(f"{path.name} is not a fast tokenizer's description: export the model again") from error
        self.fast.no_padding()
        self.fast.enable_truncation(max_tokens)
        self.max_tokens = max_tokens
        self.pad_id = pad_id
        self._normalise_word = lru_cache(_WORDS_KEPT)(self._normalise)
        self._alone = np.zeros(vocabulary_size, dtype=np.bool_)
        self._blank = np.zeros(vocabulary_size, dtype=np.bool_)
        for index, piece in token_texts(self.fast).items():
            self._blank[index] = not piece.strip()
            self._alone[index] = _stands_alone(piece)

    def normalise(self, span: str) -> str:
        """Return a span as the model sees it (case, accents), so that one trigger has one name."""
        return self._normalise_word(span) if len(span) <= _LONGEST_WORD_KEPT else self._normalise(span)

    def _normalise(self, span: str) -> str:
        normalizer = self.fast.normalizer
        return " ".join((normalizer.normalize_str(span) if normalizer else span).split())

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Tokenise texts.

        Raises:
            InputError: a text is not a string or cannot be encoded as UTF-8 (a lone surrogate).
        """
        for number, text in enumerate(texts):
            if not isinstance(text, str):
                raise InputError(f"text {number} is {type(text).__name__}, expected a string")
        try:
            encoded = self.fast.encode_batch(list(texts))
        except TypeError as error:
            number = next(i for i, text in enumerate(texts) if not _is_unicode(text))
            raise InputError(f"text {number} is not valid Unicode: it has a lone surrogate, send UTF-8") from error
        return self._encodings(encoded)

    def _encodings(self, encoded: Sequence[Any]) -> list[Encoding]:
        if not encoded:
            return []
        lengths = np.array([len(e) for e in encoded])
        ids = np.array([i for e in encoded for i in e.ids], dtype=np.int64)
        offsets = np.array([o for e in encoded for o in e.offsets], dtype=np.int64).reshape(-1, 2)
        words = np.array([-1 if w is None else w for e in encoded for w in e.word_ids], dtype=np.int64)
        words[self._blank[ids]] = -1
        stops = np.cumsum(lengths)
        rows = np.repeat(np.arange(len(encoded)), lengths)
        joined = self._join(ids, offsets, words, rows)
        return [
            Encoding(ids[a:b], offsets[a:b, 0], offsets[a:b, 1], joined[a:b], bool(encoded[row].overflowing))
            for row, (a, b) in enumerate(zip(stops - lengths, stops, strict=True))
        ]

    def _join(self, ids: Ints, offsets: Ints, words: Ints, rows: Ints) -> Ints:
        """Number the words of each row from 0.

        The tokenizer's own pre-tokens are the start (SentencePiece keeps punctuation with its word, so pieces that
        stand alone are cut off); pieces of one character (an emoji in byte-level BPE) are never parted.
        """
        real = words >= 0
        before = np.concatenate(([False], (rows[1:] == rows[:-1]) & real[1:] & real[:-1]))
        previous = np.maximum(np.arange(len(ids)) - 1, 0)
        overlap = offsets[:, 0] < offsets[previous, 1]
        apart = words != words[previous]
        apart |= offsets[:, 0] > offsets[previous, 1]
        apart |= self._alone[ids] | self._alone[ids[previous]]
        new = real & (~before | (apart & ~overlap))
        count = np.cumsum(new)
        first = np.concatenate(([0], count[:-1]))[np.searchsorted(rows, np.arange(rows[-1] + 1))]
        return np.where(real, count - first[rows] - 1, -1)


def _stands_alone(piece: str) -> bool:
    """Whether a piece is a word of its own: punctuation, or a letter of a script written without spaces."""
    word = piece.strip()
    return bool(word) and (
        not any(c.isalnum() or unicodedata.category(c)[0] == "M" or c == "\ufffd" for c in word)
        or any(ord(c) > 0x0E00 and unicodedata.name(c, "").startswith(_UNSPACED) for c in word)
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
