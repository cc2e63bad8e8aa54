"""Token splitting, the augmentation of MBTSAD: some words are cut in two, which breaks triggers and keeps meaning.

Counts and limits are those of nlpaug's SplitAug, which the paper uses.
"""

from __future__ import annotations

import numpy as np

from .spaced_words import SpacedWords

SHARE = 0.3
MOST = 10
SHORTEST = 4


def split_tokens(text: str, rng: np.random.Generator) -> str:
    """Split 30 % of the words (at least 1, at most 10; only words of 4 characters or more) at a random place."""
    spaced = SpacedWords(text)
    words = spaced.words
    candidates = [i for i, word in enumerate(words) if len(word) >= SHORTEST]
    count = min(max(int(SHARE * len(words)), 1), MOST, len(candidates))
    for i in rng.permutation(candidates)[:count]:
        cut = int(rng.integers(1, len(words[i])))
        words[i] = f"{words[i][:cut]} {words[i][cut:]}"
    return str(spaced)
