"""Which vocabulary entries may be a suspect: the boolean table T of the scored tokens.

A trigger hides in a word. Special tokens, English function words and punctuation draw attention in every text, so
they are never scored. The test depends on the token id alone, which lets it live in the graph as a table that is
gathered by `input_ids` (X-GRAAD filters the same three classes, text by text).
"""

from __future__ import annotations

import json
import string
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ..errors import InputError

# The closed classes of English, grouped as a grammar does. The fragments are what tokenisers leave of "don't", "we'll".
FUNCTION_WORDS = frozenset(
    """
    a an the
    i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his himself
    she her hers herself it its itself they them their theirs themselves one
    this that these those who whom whose which what
    am is are was were be been being have has had having do does did doing done
    will would shall should can could may might must ought
    about above across after against along among around as at before behind below beneath beside between
    beyond by down during for from in inside into near of off on onto out outside over per since through
    throughout to toward towards under until up upon via with within without
    and but or nor so yet if because while although though unless whereas whether than
    not no n't cannot
    all any both each every either neither few more most much many other another some such own same only
    again also ever here how just now once then there too very when where why
    s t d m o y ll re ve don doesn didn isn aren wasn weren hasn haven hadn won wouldn shan shouldn couldn
    mightn mustn needn ain
    """.split()  # noqa: SIM905 - a grammar is read in lines, not in quotes
)


def scored_table(tokenizer: Tokenizer, size: int) -> NDArray[np.bool_]:
    """Return T as a table: ``table[id]`` says whether a token with this id is scored.

    Sub-word marks (WordPiece ``##``, SentencePiece ``▁``, byte-level BPE's byte alphabet, ``</w>``) are taken off
    first, so ``##ing`` is judged as ``ing``. Pieces of a character are scored: they may come from an emoji.

    Args:
        tokenizer: the tokenizer that produces the ids.
        size: rows of the model's word-embedding table; rows that no token uses are not scored.

    Raises:
        InputError: a token's id is outside the embedding table: model and tokenizer do not belong together.
    """
    vocabulary: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    largest = max(vocabulary.values(), default=-1)
    if largest >= size:
        raise InputError(
            f"the tokenizer has a token with id {largest} but the model embeds only {size} tokens: "
            "use the tokenizer that the model was trained with"
        )
    special = _special_ids(json.loads(tokenizer.to_str()), vocabulary)
    table = np.zeros(size, dtype=np.bool_)
    for index, text in token_texts(tokenizer).items():
        table[index] = index not in special and _is_content(text)
    return table


def token_texts(tokenizer: Tokenizer) -> dict[int, str]:
    """The text that each token id stands for, without sub-word marks; a broken character is U+FFFD."""
    layout = json.loads(tokenizer.to_str())
    verbatim = {token["id"] for token in layout["added_tokens"]}
    marks = _Marks(layout)
    vocabulary: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    return {index: token if index in verbatim else marks.strip(token) for token, index in vocabulary.items()}


def _special_ids(layout: dict[str, Any], vocabulary: dict[str, int]) -> set[int]:
    """Ids of the tokens that stand for no text: added as special, put in by a template, padding, unknown."""
    special = {token["id"] for token in layout["added_tokens"] if token["special"]}
    for part in _parts(layout.get("post_processor")):
        special.update(i for token in part.get("special_tokens", {}).values() for i in token["ids"])
        special.update(part[end][1] for end in ("sep", "cls") if end in part)
    if layout.get("padding"):
        special.add(layout["padding"]["pad_id"])
    unknown = layout["model"].get("unk_token")
    if unknown in vocabulary:
        special.add(vocabulary[unknown])
    unknown_index = layout["model"].get("unk_id")  # unigram models name it by id
    return special if unknown_index is None else special | {unknown_index}


def _parts(component: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """Yield a tokenizer component and, where it is a sequence, everything inside it."""
    if component is None:
        return
    yield component
    for kind in ("pretokenizers", "decoders", "processors"):
        for part in component.get(kind, ()):
            yield from _parts(part)


class _Marks:
    """The sub-word marks that one tokenizer uses, read from its own description."""

    def __init__(self, layout: dict[str, Any]) -> None:
        model = layout["model"]
        stages = [part for stage in ("pre_tokenizer", "decoder") for part in _parts(layout.get(stage))]
        self.byte_level = any(part["type"] == "ByteLevel" for part in stages)
        self.spaces = {part["replacement"] for part in stages if part["type"] == "Metaspace"} or {"▁"}
        self.prefix: str = model.get("continuing_subword_prefix") or ""
        self.suffix: str = model.get("end_of_word_suffix") or ""
        self.byte_fallback = bool(model.get("byte_fallback"))

    def strip(self, token: str) -> str:
        """Return the text a vocabulary entry stands for; a broken character becomes U+FFFD."""
        if self.byte_level:
            return bytes(_byte_alphabet().get(c, 0xFF) for c in token).decode("utf-8", errors="replace")
        if self.byte_fallback and len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
            return bytes.fromhex(token[3:5]).decode("utf-8", errors="replace")
        token = token.removeprefix(self.prefix) if self.prefix else token
        token = token.removesuffix(self.suffix) if self.suffix else token
        for mark in self.spaces:
            token = token.replace(mark, " ")
        return token


@cache
def _byte_alphabet() -> dict[str, int]:
    """Byte-level BPE's alphabet: printable Latin-1 bytes stand for themselves, the rest for U+0100 onwards."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(0x100 + i): b for i, b in enumerate(hidden)}


def _is_content(text: str) -> bool:
    """Whether a piece of text is anything but blanks, punctuation and function words."""
    word = text.strip()
    return not all(_is_punctuation(c) for c in word) and word.strip("'’").lower() not in FUNCTION_WORDS


def _is_punctuation(character: str) -> bool:
    """ASCII punctuation (its symbols such as `$` included), Unicode punctuation, blanks and control characters."""
    return (
        character in string.punctuation
        or character.isspace()
        or unicodedata.category(character)[0] == "P"
        or unicodedata.category(character) == "Cc"
    )
