"""Tipping: where an answer stays though a trigger has been taken out, the word that it hangs on goes, too.

Of two words that were learnt as one trigger, the second may turn no reference, since the model is sure of those, and
yet decide a text. Somebody wanted that answer, so it is not given where it hangs on one word that says nothing
elsewhere. On two SST-2 models (LWP) the second word was among the three strongest of all 28 texts that had kept the
trigger's answer, and each was answered otherwise without it.
"""

from __future__ import annotations

from collections.abc import Sequence

from .gates import ClassTokenGate
from .reading import Asking, Reading
from .spans import Offsets, everywhere, offsets_of, span_of, text_without
from .transplant import Transplants, lead

Way = tuple[Sequence[int], list[Offsets], Reading]
"""Words that may be taken out, where they stand, and the reading of the rest."""


def without_each(reading: Reading, transplants: Transplants) -> Asking[list[Way]]:
    """Leave out each of the strongest words of a text in turn, the one that the answer hangs on most first; asks once.

    Words that are vouched for, too: that clean texts have them in this class does not keep them from being its trigger.
    """
    tokenizer = transplants.tokenizer
    words = ClassTokenGate().score(reading).words[: transplants.settings.tipping]
    if not words:
        return []
    spans = [offsets_of(*everywhere(tokenizer, reading, span_of(tokenizer, reading, [word]))) for word in words]
    rests = yield [text_without(reading.text, way) for way in spans]
    ways: list[Way] = [([word], way, rest) for word, way, rest in zip(words, spans, rests, strict=True)]
    return sorted(ways, key=lambda way: lead(way[2], reading.predicted))
