"""Words of the language: which words clean texts show to be no triggers, or none that need be remembered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

from .vouching import vouched_together, vouched_words

# Clean texts that use a word for it to be of the language, however strong it is, and not remembered as a trigger.
USED = 2
Words = dict[str, tuple[str, ...]]  # by the label that they go with


def joined(some: Mapping[str, Sequence[str]], others: Mapping[str, Sequence[str]]) -> Words:
    """The words of both, by label."""
    return {name: tuple(dict.fromkeys((*some.get(name, ()), *others.get(name, ())))) for name in {**some, **others}}


@dataclass(frozen=True)
class NaturalWords:
    """The words of clean texts.

    Attributes:
        classes: their names, by index.
        texts: the words of each text.
        answers: the class that the model gives each, by index.
        labels: the right one of each, or None.
    """

    classes: Sequence[str]
    texts: Sequence[Set[str]]
    answers: Sequence[int]
    labels: Sequence[int] | None

    def of(self, rows: Sequence[int]) -> NaturalWords:
        """Those of some texts only."""
        texts, answers = [self.texts[row] for row in rows], [self.answers[row] for row in rows]
        labels = None if self.labels is None else [self.labels[row] for row in rows]
        return replace(self, texts=texts, answers=answers, labels=labels)

    def vouched(self) -> Words:
        """Words that the labels vouch for."""
        if self.labels is None:
            return {}
        return self._by_class(vouched_words(self.texts, self.labels, len(self.classes)))

    def among(self, found: Mapping[str, Sequence[str]]) -> Words:
        """Natural ones of the words that a scan ``found``: vouched for together; without labels, those in use."""
        if self.labels is None:
            return self._by_class(self._used())
        classes = enumerate(self.classes)
        return self._by_class(
            [vouched_together(found.get(name, ()), self.texts, self.labels, label) for label, name in classes]
        )

    def used(self, found: Mapping[str, Sequence[str]]) -> Words:
        """Those of the words ``found`` that any of the texts has, by the label that they were found for."""
        every = frozenset[str]().union(*self.texts)
        used = {name: tuple(word for word in own if word in every) for name, own in found.items()}
        return {name: own for name, own in used.items() if own}

    def _used(self) -> list[frozenset[str]]:
        """For each class, the words of at least ``USED`` texts that the model answers so."""
        counts = [Counter[str]() for _ in self.classes]
        for words, answer in zip(self.texts, self.answers, strict=True):
            counts[answer].update(words)
        return [frozenset(word for word, count in own.items() if count >= USED) for own in counts]

    def _by_class(self, words: Sequence[frozenset[str]]) -> Words:
        return {name: tuple(sorted(own)) for name, own in zip(self.classes, words, strict=True) if own}
