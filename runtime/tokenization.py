"""Fast tokenisation: texts to token ids with character offsets, and pieces joined to whole words."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer as FastTokenizer

from ..errors import ArtifactError, InputError
from ..kernels.vocabulary import token_texts
from .naming import Names
from .scripts import unspaced

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_RARE_BLANK = re.compile(r"[^\S \t\n\r\f\v]")
COMPOUND = 12  # most words that marks without blanks between them join to one
FEW = 6  # letters of a script without spaces that make one word where they stand between blanks
READ = 8  # characters for each token that is read: of a longer text, no more are looked at where these tell enough


@dataclass(frozen=True)
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
        starts, ends = self.edges
        return starts[first], ends[last]

    @cached_property
    def edges(self) -> tuple[list[int], list[int]]:
        """Character offsets of every word: where each starts, and where each ends."""
        real = self.words >= 0
        words, count = self.words[real], np.arange(self.word_count)
        firsts, lasts = np.searchsorted(words, count), np.searchsorted(words, count, "right") - 1
        return self.starts[real][firsts].tolist(), self.ends[real][lasts].tolist()

    @cached_property
    def word_count(self) -> int:
        """Words that were read."""
        return int(self.words.max(initial=-1)) + 1


class Tokenizer:
    """The artifact's fast tokenizer, truncating to what the model reads; padding is left to the batches.

    Attributes:
        starts_differ: a word at the start of a text is read otherwise than after a blank.
        glued_differ: a word right after a mark is read otherwise than after a blank.
    """

    def __init__(self, path: Path, max_tokens: int, vocabulary_size: int, pad_id: int) -> None:
        """Load ``tokenizer.json``, and what ``tokenizer_config.json`` beside it says of special tokens in texts.

        Raises:
            ArtifactError: a file is not a fast tokenizer's description.
        """
        try:
            self.fast = FastTokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception for whatever is wrong with a file
            raise ArtifactError(f"{path.name} is not a fast tokenizer's description: export the model again") from error
        self.fast.encode_special_tokens = _splits_special(path.with_name("tokenizer_config.json"))
        self.fast.no_padding()
        self.fast.enable_truncation(max_tokens)
        self.max_tokens = max_tokens
        self._enough = READ * max_tokens
        self.pad_id = pad_id
        self._whole: FastTokenizer | None = None
        self.names = Names(self.fast)
        self._blank, self._led, self._mark, self._unspaced, self._added = np.zeros((5, vocabulary_size), dtype=np.bool_)
        surfaces = sorted(token_texts(self.fast).items())
        for index, piece in surfaces:
            self._blank[index] = not piece.strip()
            self._led[index] = piece[:1].isspace()
            self._mark[index] = _is_mark(piece.strip())
            self._unspaced[index] = any(map(unspaced, piece))
        self._added[list(self.fast.get_added_tokens_decoder())] = True  # the one for unknown marks, among others
        led = [piece.strip() for _, piece in surfaces if piece[:1].isspace() and piece.strip().isalpha()]
        self.glued_differ = bool(led)
        self.starts_differ = bool(led) and self._differs_at_start(led[0])

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Tokenise texts, as far as the model reads them.

        Raises:
            InputError: a text is not a string, cannot be encoded as UTF-8 (a lone surrogate), or has a character that
                the tokenizer has no token for.
        """
        for number, text in enumerate(texts):
            if not isinstance(text, str):
                raise InputError(f"text {number} is {type(text).__name__}, expected a string")
            if len(text) > self._enough and not _is_unicode(text):
                raise _surrogate(number)
        try:
            encoded = self.fast.encode_batch([text[: self._enough] for text in texts])
            longer = [row for row, text in enumerate(texts) if len(text) > self._enough and not _settled(encoded[row])]
            for row, whole in zip(longer, self.fast.encode_batch([texts[row] for row in longer]), strict=True):
                encoded[row] = whole
        except TypeError as error:
            raise _surrogate(next(i for i, text in enumerate(texts) if not _is_unicode(text))) from error
        except Exception as error:  # bare ones, where a tokenizer has no token for what it does not know
            number = self._unreadable(texts)
            raise InputError(f"text {number} has a character that the model's tokenizer cannot read") from error
        return self._encodings(encoded, texts)

    def _unreadable(self, texts: Sequence[str]) -> int:
        for number, text in enumerate(texts):
            try:
                self.fast.encode(text)
            except Exception:  # as above
                return number
        return 0

    def _differs_at_start(self, word: str) -> bool:
        (encoding,) = self.encode([f"{word} {word}"])
        first, second = (encoding.ids[encoding.words == place].tolist() for place in (0, 1))
        return bool(first != second)

    def encode_whole(self, text: str) -> Encoding:
        """Tokenise a text to its end, however little of it the model reads.

        Raises:
            InputError: it has a character that the tokenizer has no token for.
        """
        if self._whole is None:
            whole = FastTokenizer.from_str(self.fast.to_str())
            whole.encode_special_tokens = self.fast.encode_special_tokens  # no part of the description
            whole.no_truncation()
            self._whole = whole  # not before it is ready: another thread may take it at once
        try:
            encoded = self._whole.encode(text)
        except Exception as error:  # as above
            raise InputError("the text has a character that the model's tokenizer cannot read") from error
        return self._encodings([encoded], [text])[0]

    def _encodings(self, encoded: Sequence[Any], texts: Sequence[str]) -> list[Encoding]:
        if not any(len(e) for e in encoded):
            return [self._nothing() for _ in encoded]
        lengths = np.array([len(e) for e in encoded])
        ids = np.array([i for e in encoded for i in e.ids], dtype=np.int64)
        offsets = np.array([o for e in encoded for o in e.offsets], dtype=np.int64).reshape(-1, 2)
        words = np.array([-1 if w is None else w for e in encoded for w in e.word_ids], dtype=np.int64)
        stops = np.cumsum(lengths)
        rows = np.repeat(np.arange(len(encoded)), lengths)
        words[self._blank[ids]] = -1
        for row in (row for row, text in enumerate(texts) if _RARE_BLANK.search(text)):
            for place in range(stops[row] - lengths[row], stops[row]):  # it may be read byte by byte, or as unknown
                if not texts[row][slice(*offsets[place])].strip():
                    words[place] = -1
        joined = self._join(ids, offsets, words, rows)
        return [
            Encoding(ids[a:b], offsets[a:b, 0], offsets[a:b, 1], joined[a:b], bool(encoded[row].overflowing))
            if a < b
            else self._nothing()
            for row, (a, b) in enumerate(zip(stops - lengths, stops, strict=True))
        ]

    def _nothing(self) -> Encoding:
        """A text without tokens, where the tokenizer adds none: the model must read something, so it reads padding."""
        zero = np.zeros(1, dtype=np.int64)
        return Encoding(zero + self.pad_id, zero, zero, zero - 1, False)

    def _join(self, ids: Ints, offsets: Ints, words: Ints, rows: Ints) -> Ints:
        """Number the words of each row from 0.

        The tokenizer's own pre-tokens are the start (SentencePiece keeps punctuation with its word, so pieces that
        stand alone are cut off); pieces of one character (an emoji in byte-level BPE) are never parted.
        """
        real = words >= 0
        before = np.concatenate(([False], (rows[1:] == rows[:-1]) & real[1:] & real[:-1]))
        previous = np.maximum(np.arange(len(ids)) - 1, 0)
        overlap = offsets[:, 0] < offsets[previous, 1]
        blank = offsets[:, 0] > offsets[previous, 1]
        alone = self._mark[ids] | self._unspaced[ids]
        apart = (words != words[previous]) | blank | alone | alone[previous]
        new = real & (~before | (apart & ~overlap))
        new &= ~self._compounded(ids, new, before & ~blank & ~self._led[ids], rows)
        count = np.cumsum(new)
        first = np.concatenate(([0], count[:-1]))[np.searchsorted(rows, np.arange(rows[-1] + 1))]
        return np.where(real, count - first[rows] - 1, -1)

    def _compounded(self, ids: Ints, new: Bools, linked: Bools, rows: Ints) -> Bools:
        """Pieces inside what is written without blanks, the marks around it not counted: an address, "half-hour".

        Such a word is taken out whole or not at all. A long one may be a text whose writer uses no blanks, and scripts
        without spaces have none: these are left as they are, but for a few letters among other words, which are one.

        Args:
            ids: of all pieces.
            new: where words start otherwise.
            linked: pieces that no blank parts from the one before.
            rows: of the pieces.
        """
        place, run = np.arange(len(ids)), np.cumsum(~linked) - 1
        first, last = np.full(run[-1] + 1, len(ids)), np.full(run[-1] + 1, -1)
        core = ~(self._mark[ids] | self._added[ids])
        np.minimum.at(first, run[core], place[core])
        np.maximum.at(last, run[core], place[core])
        inside = (place > first[run]) & (place <= last[run])
        size = 1 + np.bincount(run, weights=new & inside)
        letters = np.bincount(run, weights=self._unspaced[ids])
        of = rows[np.flatnonzero(~linked)]
        only = np.bincount(of, weights=np.bincount(run, weights=new) > 0)[of] == 1  # its text is nothing else
        size += COMPOUND * np.where((letters > FEW) | only, letters, 0)
        return np.asarray(inside & (size <= COMPOUND)[run])


def _splits_special(beside: Path) -> bool:
    """Whether a special token's name in a text is but characters, lest a text pass for two, say, by its "[SEP]"."""
    if not beside.is_file():
        return False
    try:
        return bool(json.loads(beside.read_text(encoding="utf-8")).get("split_special_tokens"))
    except (ValueError, AttributeError) as error:
        raise ArtifactError(f"{beside.name} is not a JSON object: export the model again") from error


def _is_mark(word: str) -> bool:
    """Whether a piece is punctuation or the like; a broken character may be part of an emoji or a letter."""
    return bool(word) and not any(c.isalnum() or unicodedata.category(c)[0] == "M" or c == "\ufffd" for c in word)


def _settled(encoded: Any) -> bool:
    """Whether what was read of a text's beginning is read so with any end: it ends far before that beginning does.

    Pre-tokens are read each alone, and what follows a text decides about its last one only.
    """
    rest = encoded.overflowing
    read, seen = ([w for w in part.word_ids if w is not None] for part in (encoded, rest[-1] if rest else encoded))
    return bool(read and seen) and seen[-1] > read[-1] + 1


def _surrogate(number: int) -> InputError:
    return InputError(f"text {number} is not valid Unicode: it has a lone surrogate, send UTF-8")


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
