"""Real texts with and without the trigger, as the guard sees them: the heat of each token, and what was answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..attacks.manifest import AttackManifest
from ..errors import InputError
from ..explain import deciding_measure, pieces
from ..runtime.guard import Guard
from ..texts import LabelledTexts

LONGEST = 220  # characters, so that an example is a few lines


@dataclass(frozen=True)
class Stretch:
    """A piece of a text; ``heat`` is 0 to 1, None between tokens."""

    text: str
    heat: float | None
    suspect: bool


@dataclass(frozen=True)
class Example:
    """One text and its verdict.

    Attributes:
        first: answer of the model alone; ``answer`` that of the guard.
        score, threshold: of the gate; None where a text needed none.
    """

    attack: str
    triggered: bool
    truth: str
    first: str
    answer: str
    action: str
    score: float | None
    threshold: float | None
    pieces: tuple[Stretch, ...]


def draw_examples(
    guard: Guard, test: LabelledTexts, manifest: AttackManifest, count: int, seed: int
) -> Iterator[Example]:
    """Draw texts of other classes than the target at random, and yield each without and with the trigger.

    Drawn by the seed alone, whatever the guard answers: texts that it gets wrong are shown as well.

    Raises:
        InputError: labels do not fit the model, or no text is short enough.
    """
    classes = dict(enumerate(guard.labels))
    test, manifest = test.aligned_to(classes), manifest.aligned_to(classes)
    sources = [number for number, label in enumerate(test.labels) if label != manifest.target]
    triggered = dict(zip(sources, manifest.poison(test), strict=True))
    short = [number for number in sources if len(triggered[number]) <= LONGEST]
    if not short:
        raise InputError(f"every text is longer than {LONGEST} characters: examples need some that can be shown")
    chosen = np.random.default_rng(seed).permutation(short)[:count].tolist()
    measure = deciding_measure(guard.artifact.guard.graph.preset)
    for number in chosen:
        for text, poisoned in ((test.texts[number], False), (triggered[number], True)):
            (verdict,) = guard.classify([text], explain=True)
            yield Example(
                manifest.attack,
                poisoned,
                guard.labels[test.labels[number]],
                verdict.original_label,
                verdict.label,
                verdict.action,
                verdict.anomaly_score,
                verdict.threshold,
                tuple(Stretch(p.text, p.heat, p.suspect) for p in pieces(text, verdict, measure)),
            )
