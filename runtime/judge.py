"""The judge: from a reading to a verdict. It asks for further readings and never runs a model itself.

Each text is a generator that yields texts to be read and is sent their readings, until it returns the verdict. Whoever
drives it (the guard in one call, the asynchronous engine, the Triton model) merges what many texts ask for into
batches; the decisions are the same everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

from ..artifact import Artifact, Calibration, GateFit
from ..errors import ArtifactError
from .budget import Budget
from .confirmation import Confirmer, Outcome, flip
from .engine import ALWAYS_SKIP, NEVER_SKIP
from .gates import AnomalyGate, Gate, Score, excess, raising_score
from .reading import PER_TOKEN, Asking, Reading
from .screening import Screen
from .spans import Offsets, whole
from .tokenization import Tokenizer
from .transplant import Transplants
from .verdict import Mode, TokenScore, Verdict

Opinion = tuple[Score, GateFit, float]
"""What a gate says of a reading: its score, its fit, and by how much the calibrated score exceeds the threshold."""


class Judge:
    """Decides on readings of one artifact.

    Args:
        labels: class names by index.
        gates: the gates that raise suspicion, with their fits; a text is suspicious where any of them says so.
        confirmer: tries suspects by transplant; None for the published flip test.
        budget: credit for second looks, earned by first ones.
        screen: looks at texts that neither raises; None leaves them alone.
        tokenizer: of the artifact.
    """

    def __init__(
        self,
        labels: Sequence[str],
        gates: Sequence[tuple[Gate, GateFit]],
        confirmer: Confirmer | None,
        budget: Budget,
        screen: Screen | None = None,
        *,
        tokenizer: Tokenizer,
    ) -> None:
        self._labels = labels
        self.gates = gates
        self._confirmer = confirmer
        self._budget = budget
        self._screen = screen
        self._tokenizer = tokenizer

    @property
    def transplants(self) -> Transplants | None:
        """What tries suspects; None where the published flip test does."""
        return self._confirmer.transplants if self._confirmer else None

    def gate_value(self, mode: Mode, explain: bool) -> float:
        """The graph's gate for first passes: compute gradients for no text, for those that need them, or for all."""
        if explain:
            return NEVER_SKIP
        thresholds = [fit.threshold for gate, fit in self.gates if isinstance(gate, AnomalyGate)]
        return ALWAYS_SKIP if mode == "off" or not thresholds else thresholds[0]

    def judge(self, reading: Reading, mode: Mode, explain: bool = False) -> Asking[Verdict]:
        """Return the verdict on a first reading; yields texts and is sent their readings."""
        tokens = _token_scores(reading) if explain else None
        if mode == "off":
            return self._verdict(reading, mode, None, Outcome("passed", reading), tokens)
        self._budget.earn(len(reading.encoding))
        opinions = self._opinions(reading)
        opinion = _strongest(opinions)
        score, over = opinion[0], opinion[2]
        if score.value is not None and not math.isfinite(score.value):
            outcome = Outcome("unscorable", reading)
        elif self._confirmer is not None:
            outcome = yield from self._second_look(self._confirmer, reading, opinions)
        elif over < 0:
            outcome = Outcome("passed", reading)
        else:
            outcome = yield from flip(reading, _same_tokens(whole(self._tokenizer, reading)))
        return self._verdict(reading, mode, opinion, outcome, tokens)

    def _second_look(self, confirmer: Confirmer, reading: Reading, opinions: Sequence[Opinion]) -> Asking[Outcome]:
        """Try the suspects of a text; one that nothing has raised passes, unless screening finds it suspicious."""

        screen = self._screen

        def rankings_of(rest: Reading) -> list[tuple[int, ...]]:
            found = self._rankings(confirmer, rest, self._opinions(rest))
            if found or screen is None:
                return found
            if rest.predicted == reading.predicted:
                return screen.rankings(rest)  # a trigger that is found must not hide those that no gate raises
            return [words for words in (screen.due(rest),) if words]  # nor those for another class

        raised = _strongest(opinions)[2] >= 0
        ranking = screen.due(reading) if screen is not None and not raised else ()
        if rankings := self._rankings(confirmer, reading, opinions):
            screened = [ranking] if ranking else []  # nor may a known word
            return (yield from confirmer.confirm(reading, [*rankings, *screened], rankings_of))
        if raised:
            return Outcome("cleared", reading)
        if screen is None:
            return Outcome("passed", reading)
        if not ranking:
            ends = yield from screen.acting_ends(reading)
            if not ends:
                return Outcome("passed", reading, fallback=ends is None)
            return (yield from confirmer.confirm(reading, [(word,) for word in ends], rankings_of))
        suspicious = yield from screen.suspicious(reading, ranking)
        if not suspicious:
            return Outcome("passed", reading, fallback=suspicious is None)
        return (yield from confirmer.confirm(reading, [ranking], screen.rankings, screened=True))

    def first_look(self, reading: Reading) -> tuple[int, ...]:
        """The words that a second look at a text tries first, all at once; none where it gets no second look."""
        confirmer, screen = self._confirmer, self._screen
        if confirmer is None:
            return ()
        opinions = self._opinions(reading)
        rankings = self._rankings(confirmer, reading, opinions)
        if not rankings and screen is not None and _strongest(opinions)[2] < 0:
            rankings = [words for words in (screen.due(reading),) if words]
        return confirmer.transplants.strongest(reading, rankings) if rankings else ()

    def weigh(self, reading: Reading) -> Opinion:
        """The opinion of the gate whose threshold the text exceeds most."""
        return _strongest(self._opinions(reading))

    def _opinions(self, reading: Reading) -> list[Opinion]:
        scores = [(gate.score(reading), fit) for gate, fit in self.gates]
        return [(score, fit, excess(score, len(reading.encoding), fit)) for score, fit in scores]

    def _rankings(self, confirmer: Confirmer, reading: Reading, opinions: Sequence[Opinion]) -> list[tuple[int, ...]]:
        """Known triggers, then suspects of every gate that is raised: none of these knows the others' triggers.

        The known are suspects whatever the gates say, since a trigger can be trained to draw no attention. Words that
        are vouched for are none, and a gate that has no other suspects gives no ranking.
        """
        raised = [
            *((word,) for word in confirmer.transplants.known.held(reading, reading.predicted)),
            *(score.words for score, _, over in opinions if over >= 0),
        ]
        suspects = (confirmer.transplants.suspects(reading, words) for words in raised)
        return [words for words in suspects if words]

    def _verdict(
        self,
        first: Reading,
        mode: Mode,
        opinion: Opinion | None,
        outcome: Outcome,
        tokens: tuple[TokenScore, ...] | None,
    ) -> Verdict:
        answer = outcome.final if mode == "enforce" else first
        return Verdict(
            label=self._labels[answer.predicted],
            probabilities=dict(zip(self._labels, map(float, answer.probabilities), strict=True)),
            action=outcome.action,
            original_label=self._labels[first.predicted],
            enforced_label=self._labels[outcome.final.predicted],
            anomaly_score=opinion[0].value if opinion and math.isfinite(opinion[0].value or 0.0) else None,
            threshold=raising_score(len(first.encoding), opinion[1]) if opinion else None,
            suspects=outcome.suspects,
            repaired_text=None if outcome.final is first else outcome.final.text,
            truncated=first.encoding.truncated,
            confirmations=outcome.confirmations,
            fallback=outcome.fallback,
            tokens=tokens,
        )


def _strongest(opinions: Sequence[Opinion]) -> Opinion:
    return max(opinions, key=lambda opinion: opinion[2])


def drive(
    steps: Iterable[Asking[Verdict]], read: Callable[[list[str]], Sequence[Reading]], at_once: int
) -> list[Verdict]:
    """Run many judgements to their end, reading what they ask for together, round by round.

    Where one ends, the next begins: ``at_once`` wait for readings at a time. Equal texts asked for in one round are
    read once.
    """
    verdicts: dict[int, Verdict] = {}
    asked: dict[int, tuple[Asking[Verdict], list[str]]] = {}
    readings: dict[str, Reading] = {}
    others = enumerate(steps)
    while True:
        answered = ((i, step, [readings[text] for text in wanted]) for i, (step, wanted) in asked.items())
        asking: dict[int, tuple[Asking[Verdict], list[str]]] = {}
        for index, step, answer in chain(answered, ((i, step, None) for i, step in others)):
            try:
                asking[index] = step, step.send(answer)  # type: ignore[arg-type]  # the first send must be None
            except StopIteration as stop:
                verdicts[index] = stop.value
            if len(asking) == at_once:
                break
        if not asking:
            return [verdicts[index] for index in range(len(verdicts))]
        texts = list(dict.fromkeys(text for _, wanted in asking.values() for text in wanted))
        readings = dict(zip(texts, read(texts), strict=True)) if texts else {}
        asked = asking


def calibrated(artifact: Artifact) -> Calibration:
    """The calibration of an artifact.

    Raises:
        ArtifactError: it has none.
    """
    if artifact.guard.calibration is None:
        raise ArtifactError(
            f"'{artifact.path}' is not calibrated: run 'tokenward calibrate' on it with clean texts, or use mode 'off'"
        )
    return artifact.guard.calibration


def _same_tokens(reading: Reading) -> list[Offsets]:
    """Every occurrence of the graph's suspect token."""
    encoding = reading.encoding
    same = encoding.ids == encoding.ids[reading.suspect]
    return [(int(a), int(b)) for a, b in zip(encoding.starts[same], encoding.ends[same], strict=True)]


def _token_scores(reading: Reading) -> tuple[TokenScore, ...]:
    """Per-token outputs beside the text they stand for, special tokens left out."""
    encoding, outputs = reading.encoding, reading.tokens
    scores = []
    for position in (encoding.words >= 0).nonzero()[0]:
        start, end = int(encoding.starts[position]), int(encoding.ends[position])
        values = [float(outputs[name][position]) if name in outputs else None for name in PER_TOKEN]
        scores.append(TokenScore(reading.text[start:end], start, end, *values))
    return tuple(scores)
