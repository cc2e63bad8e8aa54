"""A call for verdicts and its cases: the bookkeeping between a caller and the queue."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from .engine import ALWAYS_SKIP
from .judge import Judge
from .observer import Timing
from .queueing import Entry, Turn
from .reading import Asking, Reading
from .tokenization import Encoding, Tokenizer
from .verdict import Mode, Verdict


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call got."""

    verdicts: list[Verdict]
    timing: Timing


class Call:
    """One caller's texts until all have their verdicts.

    Attributes:
        done: resolved with the answer, or with the error that ended the call.
        encodings: of its texts, as far as they have been tokenised.
        tokenised: when its texts entered the queue.
        cases: one for each text, once they have.
        turn: when the model has last seen to it.
    """

    def __init__(
        self,
        texts: Sequence[str],
        judge: Judge,
        mode: Mode,
        explain: bool,
        truncate: bool,
        done: asyncio.Future[Answer],
    ) -> None:
        self.texts = texts
        self.judge = judge
        self.mode = mode
        self.explain = explain
        self.truncate = truncate
        self.done = done
        self.accepted = self.tokenised = monotonic()
        self.encodings: list[Encoding] = []
        self.cases: list[Case] = []
        self.turn = Turn()
        self._left = len(texts)

    @property
    def gone(self) -> bool:
        """Whether the caller has its answer or has stopped waiting."""
        return self.done.done()

    @property
    def gate(self) -> float:
        """Gate of its first passes."""
        return self.judge.gate_value(self.mode, self.explain)

    def open_cases(self, now: float) -> list[Case]:
        """One case for each text, which has just been tokenised."""
        self.tokenised = now
        self.cases = [Case(self) for _ in self.texts]
        return self.cases

    def fail(self, error: Exception) -> None:
        """End the call with an error, unless it is over."""
        if not self.gone:
            self.done.set_exception(error)

    def settle(self, case: Case, verdict: Verdict, now: float) -> None:
        """Note a verdict; the last one is the answer."""
        case.verdict, case.judged = verdict, now
        self._left -= 1
        if self._left or self.gone:
            return
        timing = Timing(
            self.tokenised - self.accepted,
            max(case.started - self.tokenised for case in self.cases),
            max(case.read - case.started for case in self.cases),
            max((case.judged - case.read for case in self.cases if case.looked_twice), default=0.0),
            now - self.accepted,
        )
        self.done.set_result(Answer([case.verdict for case in self.cases if case.verdict], timing))


class Case:
    """One text on its way to its verdict.

    Attributes:
        turn: that of its call.
        first: the first reading.
        started, read, judged: when the first pass started and ended, and when the verdict was there.
        looked_twice: further readings were needed.
    """

    def __init__(self, call: Call) -> None:
        self.call = call
        self.turn = call.turn
        self.first: Reading | None = None
        self.verdict: Verdict | None = None
        self.started = self.read = self.judged = 0.0
        self._steps: Asking[Verdict] | None = None
        self._asked: list[str] = []
        self._got: dict[str, Reading] = {}

    @property
    def gone(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.call.gone

    @property
    def looked_twice(self) -> bool:
        """Whether a second look was taken."""
        return bool(self._asked)

    def take(self, reading: Reading) -> Verdict | list[str]:
        """Take in a reading it waits for and go on as far as possible: the verdict, or new texts to be read."""
        answer: Any = None
        if self._steps is None:
            self.first = reading
            self._steps = self.call.judge.judge(reading, self.call.mode, self.call.explain)
        else:
            self._got[reading.text] = reading
            if any(text not in self._got for text in self._asked):
                return []
            answer = [self._got[text] for text in self._asked]
        try:
            self._asked, self._got = self._steps.send(answer), {}
            while not self._asked:  # or it would wait for readings that nobody makes
                self._asked = self._steps.send([])
        except StopIteration as stop:
            verdict: Verdict = stop.value
            return verdict
        return list(dict.fromkeys(self._asked))

    def advance(self, reading: Reading, tokenizer: Tokenizer) -> Move:
        """Take in a reading; what is to be read next comes back as entries of the queue, an error as itself."""
        try:
            move = self.take(reading)
            if isinstance(move, Verdict):
                return move
            encodings = tokenizer.encode(move)
        except Exception as error:  # one text's trouble must not reach its batch mates
            return error
        now = monotonic()
        return [Entry(t, e, ALWAYS_SKIP, True, now, [self]) for t, e in zip(move, encodings, strict=True)]


Move = Verdict | list[Entry[Case]] | Exception
"""What a reading led to."""
