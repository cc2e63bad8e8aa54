"""Augmentations that can stand in for token splitting, by name: text and random generator in, text out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import InputError
from ..texts import LabelledTexts
from .spaced_words import SpacedWords
from .token_splitting import split_tokens

Augmentation = Callable[[str, np.random.Generator], str]

_EDA_SHARE = 0.1
_AEDA_MARKS = (".", ";", "?", ":", "!", ",")
_LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz"))


def delete_or_swap(text: str, rng: np.random.Generator) -> str:
    """Easy data augmentation without a thesaurus: delete 10 % of the words or swap as many pairs (Wei and Zou 2019)."""
    spaced = SpacedWords(text)
    words = spaced.words
    if len(words) < 2:
        return text
    count = max(1, int(_EDA_SHARE * len(words)))
    if rng.integers(2):
        spaced.delete(set(rng.choice(len(words), count, replace=False).tolist()))
        return str(spaced)
    for _ in range(count):
        i, j = rng.choice(len(words), 2, replace=False)
        words[i], words[j] = words[j], words[i]
    return str(spaced)


def insert_punctuation(text: str, rng: np.random.Generator) -> str:
    """AEDA: punctuation marks between words, one to a third as many as there are words (Karimi et al. 2021)."""
    spaced = SpacedWords(text)
    for _ in range(int(rng.integers(1, max(1, len(spaced.words) // 3) + 1))):
        spaced.insert(int(rng.integers(len(spaced.words) + 1)), str(rng.choice(_AEDA_MARKS)))
    return str(spaced)


def insert_random_trigger(text: str, rng: np.random.Generator) -> str:
    """A random word of two or three letters at a random place: it teaches that such words mean nothing."""
    spaced = SpacedWords(text)
    word = "".join(rng.choice(_LETTERS, int(rng.integers(2, 4))))
    spaced.insert(int(rng.integers(len(spaced.words) + 1)), word)
    return str(spaced)


AUGMENTATIONS: dict[str, Augmentation] = {
    "splitting": split_tokens,
    "eda": delete_or_swap,
    "aeda": insert_punctuation,
    "random-trigger": insert_random_trigger,
}


def augment(data: LabelledTexts, name: str, variants: int, seed: int) -> LabelledTexts:
    """Make ``variants`` of every text with its label; the originals are not among them.

    Raises:
        InputError: there is no augmentation of this name, or ``variants`` is below 1.
    """
    if name not in AUGMENTATIONS:
        raise InputError(f"no augmentation '{name}': choose one of {', '.join(AUGMENTATIONS)}")
    if variants < 1:
        raise InputError(f"{variants} variants per text: give at least 1")
    rng = np.random.default_rng(seed)
    texts = tuple(AUGMENTATIONS[name](text, rng) for text in data.texts for _ in range(variants))
    labels = tuple(label for label in data.labels for _ in range(variants))
    return LabelledTexts(texts, labels, data.label_names)
