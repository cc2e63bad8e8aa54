"""Tipping: where an answer stays though a trigger has been taken out, the word that it hangs on goes, too.

Of two words that were learnt as one trigger, the second may turn no reference, since the model is sure of those, and
yet decide a text that the model is not sure of. Somebody wanted that answer, so it is not given where it hangs on one
word. On two SST-2 models (LWP) the second word was among the three strongest of all 28 texts that had kept the
trigger's answer, and each was answered otherwise without it.
"""

from __future__ import annotations

from .gates import ClassTokenGate
from .reading import Asking, Reading
from .spans import Offsets, everywhere, kept_without, offsets_of, span_of
from .transplant import Transplants, lead


def tip(reading: Reading, transplants: Transplants) -> Asking[tuple[list[Offsets], Reading]]:
    """Leave out each of the strongest words of a text in turn; asks once.

    Words that are vouched for, too: that clean texts have them in this class does not keep them from being its trigger.

    Returns:
        Where the word stands without which another class leads most, and the reading of the rest; no places and the
        reading as it is where there is none.
    """
    tokenizer = transplants.tokenizer
    words = ClassTokenGate().score(reading).words[: transplants.settings.tipping]
    ways = [offsets_of(*everywhere(tokenizer, reading, span_of(tokenizer, reading, [word]))) for word in words]
    if not ways:
        return [], reading
    rests = yield ["".join(reading.text[i] for i in kept_without(reading.text, spans)) for spans in ways]
    best = min(range(len(ways)), key=lambda way: (lead(rests[way], reading.predicted), way))
    return (ways[best], rests[best]) if rests[best].predicted != reading.predicted else ([], reading)
