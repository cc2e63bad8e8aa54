"""The texts of one detection run: three files, or whole articles of the bundled news corpus."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..texts import LabelledTexts, bbc_news, read_labelled, stratified_split
from .drawing import drawn

_WHOLE = 1_000  # sentences: more than any article has
_SEED = 0


@dataclass(frozen=True)
class Corpus:
    """Labelled texts for three purposes; no text serves two of them."""

    name: str
    train: LabelledTexts
    clean: LabelledTexts
    test: LabelledTexts


def read_corpus(
    name: str, files: tuple[Path | None, Path | None, Path | None], most: tuple[int, int, int], words: int
) -> Corpus:
    """Read texts to train on, to calibrate on and to measure on.

    Args:
        name: what the results call them.
        files: of the three purposes; without any, whole BBC News articles are split, a half for training.
        most: how many texts to keep of each, drawn evenly over the classes.
        words: texts are cut to their first so many words, so that no trigger falls behind what the model reads.

    Raises:
        InputError: only some files are given, or they cannot be read or have unlike labels.
    """
    if any(files) != all(files):
        raise InputError("give --train, --clean and --test, or none of them for the bundled news corpus")
    train, clean, test = files
    if train is None or clean is None or test is None:
        learnt, rest = stratified_split(bbc_news(_WHOLE), 0.5, _SEED)
        parts = (learnt, *stratified_split(rest, 0.4, _SEED))
    else:
        data = read_labelled(train)
        names = dict(enumerate(data.label_names))
        parts = (data, read_labelled(clean).aligned_to(names), read_labelled(test).aligned_to(names))
    return Corpus(name, *(_cut(drawn(part, count), words) for part, count in zip(parts, most, strict=True)))


def _cut(data: LabelledTexts, words: int) -> LabelledTexts:
    return LabelledTexts(tuple(" ".join(text.split()[:words]) for text in data.texts), data.labels, data.label_names)
