"""What the guard answers: one frozen, JSON-serialisable record per text."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

Mode = Literal["enforce", "monitor", "off"]
Action = Literal["passed", "cleared", "neutralised", "flagged", "blocked", "unscorable"]
MODES: tuple[Mode, ...] = ("enforce", "monitor", "off")


@dataclass(frozen=True, slots=True)
class Suspect:
    """A word or span that may be a trigger; ``start`` and ``end`` are character offsets into the original text."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class TokenScore:
    """One token with its attribution, given on request; fields that the graph does not compute are None."""

    text: str
    start: int
    end: int
    class_attention: float | None
    attention_received: float | None
    saliency: float | None
    token_score: float | None


@dataclass(frozen=True, slots=True)
class Confirmation:
    """How a suspect was tried: which transplants turned to the suspect text's class, and whether it was confirmed.

    Attributes:
        span: the words transplanted, after growth.
        turned: for each reference, whether it turned to the suspect text's class, and by more than natural words do it.
        references: the reference texts, in the same order; a server tells them where an explanation is asked for.
        unevenness: by how much it moved some references more than others (0: all alike, as triggers do).
        moved: how far it moved them on average, as a share of the lead of their own class: 1 takes the lead away.
        cached: no new forward pass was needed.
        confirmed: the span was found to be a trigger.
        led: of several words tried together, what the strongest does alone as a share of what all do: much where they
            are a strong word in company; None where that was not asked.
    """

    span: str
    turned: tuple[bool, ...]
    references: tuple[str, ...]
    unevenness: float
    moved: float
    cached: bool
    confirmed: bool
    led: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The guarded answer for one text.

    Attributes:
        label: the answer. In monitor and off mode it is always the model's own first answer.
        probabilities: softmax of the logits that gave ``label``, by label name.
        action: what enforcing does with the text (monitor mode reports it without doing it):
            ``passed`` (not suspicious), ``cleared`` (suspicious, first answer stands), ``neutralised`` (trigger
            taken out and answered again), ``flagged`` and ``blocked`` (the budget for second looks was spent),
            ``unscorable`` (the model gave no finite score). In off mode always ``passed``.
        original_label: the model's answer to the text as it came.
        enforced_label: what enforcing answers; equals ``label`` in enforce mode.
        anomaly_score: the gate's score; None where it was proved to be under the threshold without computing it,
            and in off mode.
        threshold: the score from which on that gate finds a text of this length suspicious; None in off mode. What is
            below may be suspicious for a known trigger, or because the model is very sure of its answer.
        suspects: spans found suspicious, with offsets into the original text.
        repaired_text: the text after repair, where one was made.
        truncated: the model read only the beginning of the text.
        confirmations: one per suspect tried by transplant.
        fallback: the budget for second looks was spent, and the configured fallback decided.
        tokens: per-token scores, only with ``explain``.
    """

    label: str
    probabilities: dict[str, float]
    action: Action
    original_label: str
    enforced_label: str
    anomaly_score: float | None
    threshold: float | None
    suspects: tuple[Suspect, ...] = ()
    repaired_text: str | None = None
    truncated: bool = False
    confirmations: tuple[Confirmation, ...] = ()
    fallback: bool = False
    tokens: tuple[TokenScore, ...] | None = None

    def unquoted(self) -> Verdict:
        """Without the reference texts: they are the operator's, and told to those only who want to know why."""
        if not self.confirmations:
            return self
        return replace(self, confirmations=tuple(replace(tried, references=()) for tried in self.confirmations))

    @property
    def score(self) -> float:
        """Probability of ``label``, as a transformers pipeline names it."""
        return self.probabilities[self.label]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: no number where none is finite; with ``score`` as a transformers pipeline gives it."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        for name in ("suspects", "confirmations", "tokens"):  # only these are records, maybe thousands
            fields[name] = fields[name] and [{k: getattr(r, k) for k in r.__slots__} for r in fields[name]]
        for token in fields["tokens"] or ():
            token.update((k, None) for k, v in token.items() if isinstance(v, float) and not math.isfinite(v))
        return {"label": self.label, "score": self.score, **fields}
