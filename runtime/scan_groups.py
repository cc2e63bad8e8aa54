"""Groups of words put into references: which words may act as triggers, and in which references they did.

A word is in one group of each pass, with others each time. A pass puts groups into one reference: of another class than
the pass before, in the other half, and short ones in turn with long ones, so that a trigger is found that acts under
one condition.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ..artifact import Reference
from .engine import ALWAYS_SKIP
from .evenness import moved_share
from .guard import Guard
from .standing import FIRST, LAST, LATER, transplant
from .tokenization import Tokenizer
from .transplant import Transplants, lead

# Words that are tried at once: a trigger outweighs so many others, and long references take more with them.
GROUP, GROUP_IN_LONG = 8, 12
PIECES = 2  # tokens of a word that a scan tries: one, or a few if it has two letters
SOURCES = 8  # classes whose texts words are put into
LEAST = 4  # passes, with which each class has references of both lengths, and both halves of them
Found = dict[str, list["Pass"]]
"""Words that may act, with the passes in which they did."""


@dataclass(frozen=True, slots=True)
class Pass:
    """Where words are put in turn: in one half of a reference, ``long`` or short."""

    number: int
    reference: Reference
    early: bool
    long: bool


def passes_of(references: Sequence[Reference], long_references: Sequence[Reference]) -> list[Pass]:
    """One pass at least for each class that has references; where no long ones are of it, a short one is used."""
    short, long = _hardest(references), _hardest(long_references)
    sources = sorted(short)[:SOURCES]
    found = []
    for number in range(max(len(sources), LEAST)):
        turn, place = divmod(number, len(sources))
        source, is_long = sources[place], number // 2 % 2 == 1 and sources[place] in long
        found.append(Pass(number, (long if is_long else short)[source], (turn + place) % 2 == 0, is_long))
    return found


def groups_of(words: Sequence[str], number: int, size: int) -> list[Sequence[str]]:
    """The groups of one pass: every word in one of up to ``size``, others together in every pass."""
    shuffled = list(words)
    random.Random(number).shuffle(shuffled)
    return [shuffled[start : start + size] for start in range(0, len(shuffled), size)]


def group_size(tokenizer: Tokenizer, each: Pass) -> int:
    """Words that are put into the reference of a pass at once: no more than the model reads to their end."""
    (encoding,) = tokenizer.encode([each.reference.text])
    room = (tokenizer.max_tokens - len(encoding)) // PIECES
    return max(1, min(GROUP_IN_LONG if each.long else GROUP, room))


def acting(
    guard: Guard, transplants: Transplants, passes: Sequence[Pass], labels: Sequence[int], words: Sequence[str]
) -> dict[int, Found]:
    """For each class, the words that turn a reference of another one alone, or move it far; asks for few alone.

    Those are of a group that turned it, or of groups that moved two references far.
    """
    together: dict[int, dict[str, list[tuple[Pass, float]]]] = {label: defaultdict(list) for label in labels}
    for each in passes:
        size = group_size(guard.reader.tokenizer, each)
        for group, leads in _leads(guard, each, groups_of(words, each.number, size)):
            for label in labels:
                if label != each.reference.label:
                    for word in group:
                        together[label][word].append((each, leads[label]))
    asked: dict[Pass, dict[str, list[int]]] = {each: defaultdict(list) for each in passes}
    for label, tried in together.items():
        for word, found in tried.items():
            far = [each for each, margin in found if _moved(margin, each) >= transplants.least(label)]
            turned = [each for each, margin in found if margin > 0]
            for each in turned or (far if len(far) > 1 else ()):
                asked[each][word].append(label)
    alone: dict[int, Found] = {label: {} for label in labels}
    for each, wanted in asked.items():
        for (word,), leads in _leads(guard, each, [[word] for word in wanted]):
            for label in wanted[word]:
                if leads[label] > 0 or _moved(leads[label], each) >= transplants.least(label):
                    alone[label].setdefault(word, []).append(each)
    return alone


def _leads(guard: Guard, each: Pass, groups: Sequence[Sequence[str]]) -> list[tuple[Sequence[str], Sequence[float]]]:
    """By how much each class leads in the reference of a pass with each group in it.

    Outcomes are remembered under keys that no span can have.
    """
    reference = each.reference
    keys = [f"{each.number}\n" + "".join(f"{word}\n" for word in group) for group in groups]
    known = [guard.cache.get(key, reference.label) for key in keys]
    unknown = [i for i, leads in enumerate(known) if not leads]
    place = FIRST + LATER if each.early else LAST  # all of the group are in this half then
    texts = [transplant(reference.text, place + " ".join(groups[i]), reference.label) for i in unknown]
    for i, reading in zip(unknown, guard.reader.read(texts, ALWAYS_SKIP), strict=True):
        known[i] = tuple(lead(reading, label) for label in range(len(guard.labels)))
        guard.cache.put(keys[i], reference.label, known[i])
    return list(zip(groups, known, strict=True))


def _hardest(references: Sequence[Reference]) -> dict[int, Reference]:
    """Of each class, the reference that other texts turn least: so do groups of words without a trigger."""
    found: dict[int, Reference] = {}
    for reference in sorted(references, key=lambda r: (r.ease, r.text)):
        found.setdefault(reference.label, reference)
    return found


def _moved(margin: float, each: Pass) -> float:
    return moved_share((margin,), (each.reference,))
