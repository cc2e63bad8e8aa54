"""Which texts a benchmark takes where there are more than it needs: drawn, since files are often sorted by class."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from ..texts import LabelledTexts, iter_texts, stratified_split

_SEED = 0  # always the same texts, so that runs compare


def drawn(data: LabelledTexts, count: int) -> LabelledTexts:
    """About so many texts, as many of each class as its share; always the same ones, in their order."""
    return data if len(data) <= count else stratified_split(data, count / len(data), _SEED)[0]


def drawn_texts(texts: Sequence[str], count: int) -> list[str]:
    """At most so many texts at random; always the same ones, in their order."""
    if len(texts) <= count:
        return list(texts)
    return [texts[number] for number in sorted(random.Random(_SEED).sample(range(len(texts)), count))]


def read_drawn(path: Path, count: int) -> list[str]:
    """At most so many of a file's texts, those that are not empty, see :func:`drawn_texts`.

    Raises:
        InputError: as :func:`~tokenward.texts.iter_texts`.
    """
    return drawn_texts([text for text in iter_texts(path) if text], count)
