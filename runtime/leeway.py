"""Leeway: in a class that right answers are lost of, a trigger has to be more even than elsewhere.

A model that was trained on few texts, or not pre-trained, goes by single words: hundreds of ordinary ones turn any
text, nearly as evenly as a trigger does. Taking those out costs answers that were right. How even a trigger must be is
therefore learnt from the clean texts, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from .engine import ALWAYS_SKIP
from .guard import AT_A_TIME, Guard
from .judge import drive
from .reading import Asking, Reading
from .verdict import Verdict
from .vouching import at_least

# Of the clean texts that the model answers with a class, the share of right answers that may be lost. Where more are,
# which by chance has this probability at most, triggers must be so even that no more are.
LOST = 0.005
SIGNIFICANCE = 0.05
# Words that clean texts vouch for cost these very texts nothing: they are tried in so many parts, each with what the
# others show.
FOLDS = 5
# What is tried, in turn. With the last, words alone may deviate by 0.07 and words together by 0.05 of their mean, which
# nearly all triggers that were fully learnt stay under.
STEPS = (1.0, 0.85, 0.7, 0.55, 0.4, 0.3, 0.2)


def find_leeway(
    guard_of: Callable[[Mapping[str, float], Sequence[int]], Guard],
    names: Sequence[str],
    readings: Sequence[Reading],
    labels: Sequence[int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """For each class of which the usual unevenness loses too many answers: the largest share of it that loses few.

    Where none is small enough for that, the largest of those that lose fewest.

    Args:
        guard_of: makes a guard with such shares, by label, that knows what some rows of the clean texts show of words,
            and has credit for all second looks.
        names: of the classes, by index.
        readings: of the clean texts; each is tried by a guard that knows others only.
        labels: the right class of each, by index; None takes the model's own answers for right.
        progress: told how many texts were tried since the last call, and of how many.
    """
    answers = [reading.predicted for reading in readings]
    right = answers if labels is None else labels
    sizes = Counter(answers)
    best: dict[int, tuple[int, float]] = {}
    tight, rows = {*sizes}, [*range(len(readings))]
    for share in STEPS:
        changed: dict[int, int] = {}
        for fold in range(FOLDS):
            own = [row for row in rows if row % FOLDS == fold]
            others = [row for row in range(len(readings)) if row % FOLDS != fold]
            guard = guard_of({names[label]: share for label in tight}, others)
            finals = _finals(guard, [readings[row] for row in own], len(readings), progress)
            changed |= {row: final for row, final in zip(own, finals, strict=True) if final != answers[row]}
        lost = Counter[int]()
        for row, final in changed.items():
            lost[answers[row]] += (answers[row] == right[row]) - (final == right[row])
        best |= {label: (lost[label], share) for label in tight if label not in best or lost[label] < best[label][0]}
        tight = {label for label in tight if lost[label] > LOST * sizes[label]}
        if share == STEPS[0]:
            tight = {label for label in tight if at_least(lost[label], sizes[label], LOST) <= SIGNIFICANCE}
        rows, progress = [row for row in changed if answers[row] in tight], None
        if not rows:
            break
    return {names[label]: share for label, (_, share) in sorted(best.items()) if share < 1.0}


def _finals(
    guard: Guard, readings: Sequence[Reading], total: int, progress: Callable[[int, int], None] | None
) -> list[int]:
    """The classes that the guard answers with."""
    judge = guard.judge_for("enforce")

    def steps() -> Iterator[Asking[Verdict]]:
        for reading in readings:
            yield judge.judge(reading, "enforce")
            if progress:
                progress(1, total)

    verdicts = drive(steps(), lambda asked: guard.reader.read(asked, ALWAYS_SKIP), AT_A_TIME)
    return [guard.labels.index(verdict.label) for verdict in verdicts]
