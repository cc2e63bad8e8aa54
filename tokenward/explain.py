"""One explained text cut into pieces, each with the heat that its tokens drew and whether it is under suspicion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, get_args

from .artifact import Preset
from .errors import InputError
from .runtime.verdict import Action, TokenScore, Verdict

Measure = Literal["class_attention", "attention_received", "saliency", "token_score"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
MEANING: dict[Measure, str] = {
    "class_attention": "what the class token looks at where it stands out most (all tokens, if the model averages)",
    "attention_received": "attention received from all tokens",
    "saliency": "gradient of the predicted class, as a norm",
    "token_score": "attention received × saliency",
}
# For people: how an action is told, and in which tone.
ACTIONS: dict[Action, tuple[Literal["calm", "alarm"], str]] = {
    "passed": ("calm", "Passed: nothing in this text is suspicious."),
    "cleared": ("calm", "Cleared: it looked suspicious, a second look found that the first answer stands."),
    "neutralised": ("alarm", "Neutralised: a trigger was taken out and the text answered again."),
    "flagged": ("alarm", "Flagged: suspicious, and the budget for second looks was spent."),
    "blocked": ("alarm", "Blocked: suspicious, and the budget for second looks was spent."),
    "unscorable": ("alarm", "Unscorable: the model gave no finite score."),
}


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the text.

    Attributes:
        heat: 0 to 1, relative to the hottest token of the text; None between tokens.
        suspect: the stretch lies in a suspect.
    """

    text: str
    heat: float | None
    suspect: bool


def deciding_measure(preset: Preset) -> Measure:
    """The measure that a preset's gate decides by."""
    return "class_attention" if preset == "tokenward" else "token_score"


def values(tokens: Sequence[TokenScore], measure: Measure) -> list[float]:
    """The measure of every token.

    Raises:
        InputError: the graph that scored the tokens does not compute it.
    """
    found = [getattr(token, measure) for token in tokens]
    if any(value is None for value in found):
        computed = [m for m in MEASURES if all(getattr(token, m) is not None for token in tokens)]
        raise InputError(f"this artifact's graph does not compute {measure}: choose {' or '.join(computed)}")
    return found


def pieces(text: str, verdict: Verdict, measure: Measure) -> list[Piece]:
    """Cut ``text`` where the heat of its tokens changes; the pieces joined are exactly ``text``.

    Negative scores and scores that are not finite are cold.
    """
    tokens = verdict.tokens or ()
    warm = [max(value, 0.0) if math.isfinite(value) else 0.0 for value in values(tokens, measure)]
    hottest = max(warm, default=0.0) or 1.0
    heat: list[float | None] = [None] * len(text)
    for token, value in zip(tokens, warm, strict=True):
        for place in range(token.start, token.end):
            heat[place] = max(heat[place] or 0.0, value / hottest)  # pieces of one character share its place
    suspect = [False] * len(text)
    for span in verdict.suspects:
        suspect[span.start : span.end] = [True] * (span.end - span.start)
    runs = groupby(range(len(text)), key=lambda place: (heat[place], suspect[place]))
    return [Piece("".join(text[place] for place in run), *key) for key, run in runs]
