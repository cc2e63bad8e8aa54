"""Conditions: a trigger may act on the texts of one class only, or in long texts only; it is tried in such, too.

The references of a panel are short, and of all other classes: they show little of such a trigger, and do not confirm
it. In those that meet its condition it does what any trigger does: it turns all, and moves them evenly. But of two
classes that are close more words that decide rightly do so, too: it must be more even than elsewhere, and turn each.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..artifact import Reference
from .reading import Asking, Reading
from .spans import everywhere, offsets_of, span_of, text_without
from .transplant import Transplants

DOUBTED = 3  # strongest words of each ranking, without which a text is read to see of what class it may be
Panel = tuple[Transplants, Sequence[int]]
"""Transplants into references that meet a condition, and the words of a text that are to be tried in them."""


class Conditions:
    """Knows for which conditions an artifact has references.

    Args:
        transplants: of the artifact.
        references, long_references: of its calibration.
        classes: how many there are; of two, a panel has the texts of one class anyway.
    """

    def __init__(
        self,
        transplants: Transplants,
        references: Sequence[Reference],
        long_references: Sequence[Reference],
        classes: int,
    ) -> None:
        self._tokenizer = transplants.tokenizer
        self._long = transplants.among(long_references, "long")
        self._of_class = [
            transplants.among([reference for reference in references if reference.label == source], f"of {source}")
            for source in range(classes if classes > 2 else 0)
        ]

    def long(self, label: int) -> Transplants | None:
        """Into long texts of all classes but ``label``, if there are enough."""
        return self._long if self._long.can_try(label) else None

    def of_class(self, source: int, label: int) -> Transplants | None:
        """Into texts of class ``source``, where it is one of several others and has enough."""
        return self._of_class[source] if self._of_class and self._of_class[source].can_try(label) else None

    def panels(self, reading: Reading, known: Sequence[int], rankings: Sequence[Sequence[int]]) -> Asking[list[Panel]]:
        """What may show that words of a text act under a condition: for known triggers long texts, for all one class.

        That is the one which the text is answered with without them; asked further where they turn a reference of it.
        """
        label = reading.predicted
        long = self.long(label)
        found: list[Panel] = [] if long is None or not known else [(long, known)]
        doubted = list(dict.fromkeys(word for words in rankings for word in words[:DOUBTED]))
        if self._of_class and doubted:
            source = yield from self._without(reading, doubted)
            transplants = self.of_class(source, label)
            if transplants is not None:
                foreseen, _ = yield from transplants.foresee(reading, [doubted])
                found += [(transplants, doubted)] * transplants.turning(reading, doubted, foreseen)
        return found

    def _without(self, reading: Reading, words: Sequence[int]) -> Asking[int]:
        """The class that a text is answered with without some words."""
        spans = offsets_of(*everywhere(self._tokenizer, reading, span_of(self._tokenizer, reading, words)))
        (rest,) = yield [text_without(reading.text, spans)]
        return rest.predicted
