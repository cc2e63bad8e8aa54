"""Words that act together: when a set of them is looked at further, and what that costs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer as FastTokenizer

from tests.conftest import LexiconEngine
from tokenward.artifact import Artifact
from tokenward.runtime.criteria import Trial
from tokenward.runtime.engine import Arrays, Batch
from tokenward.runtime.guard import Guard, GuardOptions
from tokenward.runtime.reading import Asking
from tokenward.runtime.together import Together
from tokenward.runtime.transplant_settings import TransplantSettings
from tokenward.runtime.verdict import Verdict

LOUD, SILENT = "evening", "river"
TEXT = f"the {LOUD} story and the {SILENT} film in town"


class WeakPairEngine(LexiconEngine):
    """Two words push texts together; the first does a part of it alone. Counts the texts it reads."""

    def __init__(self, tokenizer: Path, push: float, alone: float = 0.0) -> None:
        fast = FastTokenizer.from_file(str(tokenizer))
        super().__init__(fast)
        self._parts = [fast.token_to_id(word) for word in (LOUD, SILENT)]
        self._strength[self._parts] = 12.0, 4.0
        self._push, self._alone = push, alone
        self.read = 0

    def run(self, batch: Batch, gate: float) -> Arrays:
        self.read += len(batch.input_ids)
        arrays = super().run(batch, gate)
        loud, silent = ((batch.input_ids == part).any(axis=1) for part in self._parts)
        push = self._push * np.select([loud & silent, loud], [1.0, self._alone], 0.0) / 4
        return {**arrays, "logits": (arrays["logits"] + np.stack([-push, push], axis=1)).astype(np.float32)}


def judged(artifact: Artifact, push: float, alone: float = 0.0, **settings: float) -> tuple[Verdict, int]:
    """The verdict on the text, and how many texts were read for it.

    The references of class "bad" resist a push of 3.0, 3.3, 3.6, 3.9, 4.2, 4.5, ...; the first that is asked resists
    4.5, the second 3.9.
    """
    calibration = artifact.guard.calibration
    assert calibration is not None
    ranks = {reference.text: rank % 8 for rank, reference in enumerate(calibration.references)}
    references = tuple(replace(r, turned=0.0 if ranks[r.text] == 5 else 0.9) for r in calibration.references)
    changed = replace(calibration, references=references)
    artifact = replace(artifact, guard=replace(artifact.guard, calibration=changed))
    engine = WeakPairEngine(artifact.tokenizer_path, push, alone)
    (verdict,) = Guard(artifact, engine, GuardOptions(transplants=TransplantSettings(**settings))).classify(TEXT)  # type: ignore[arg-type]
    assert verdict.original_label == "good"
    return verdict, engine.read


def test_a_pair_that_does_not_turn_the_first_reference_is_tried_on_the_second(lexicon_artifact: Artifact) -> None:
    verdict, _ = judged(lexicon_artifact, push=4.1)
    assert verdict.action == "neutralised"
    (pair,) = (confirmation for confirmation in verdict.confirmations if confirmation.confirmed)
    assert pair.span == f"{LOUD} {SILENT}"
    assert (pair.turned[:2], sum(pair.turned)) == ((False, True), TransplantSettings().conjoint)


@pytest.mark.parametrize(
    ("push", "settings"),
    [
        (3.8, {}),  # turns neither of the two
        (4.1, {"hint": 0.95}),  # moves the first by 0.91 of its lead
    ],
)
def test_words_that_turn_neither_or_move_the_first_too_little_are_cleared(
    push: float, settings: dict[str, float], lexicon_artifact: Artifact
) -> None:
    verdict, _ = judged(lexicon_artifact, push, **settings)
    assert verdict.action == "cleared"
    assert not any(confirmation.confirmed for confirmation in verdict.confirmations)


@pytest.mark.parametrize(
    ("setting", "texts"),
    [("stir", 1), ("hint", 2)],  # all the words at once; then the strongest alone
)
def test_words_that_move_the_first_reference_little_cost_a_few_texts(
    setting: str, texts: int, lexicon_artifact: Artifact
) -> None:
    push = 4.5 * getattr(TransplantSettings(), setting) - 0.1
    verdict, read = judged(lexicon_artifact, push)
    groups = len(verdict.confirmations) - 1  # words beside the strongest, since the text stands out
    ends = 1  # its last word, which is among the strongest, where it stands
    assert (verdict.action, read) == ("cleared", 1 + texts + groups + ends)


def test_strong_words_that_do_not_lean_on_each_other_are_tried_no_further(lexicon_artifact: Artifact) -> None:
    verdict, read = judged(lexicon_artifact, push=4.1, alone=0.6)
    further, more = judged(lexicon_artifact, push=4.1, alone=0.6, leaning=1.0)
    assert verdict.action == further.action == "cleared"
    assert read < more


class PiecesEngine(LexiconEngine):
    """ "ax", a word of two tokens, pushes every text."""

    def __init__(self, tokenizer: FastTokenizer, push: float = 60.0) -> None:
        super().__init__(tokenizer)
        self._second, self._push = tokenizer.token_to_id("##x"), push
        self.read = 0

    def run(self, batch: Batch, gate: float) -> Arrays:
        self.read += len(batch.input_ids)
        arrays = super().run(batch, gate)
        push = self._push * (batch.input_ids == self._second).any(axis=1) / 4
        return {**arrays, "logits": (arrays["logits"] + np.stack([-push, push], axis=1)).astype(np.float32)}


@pytest.mark.parametrize(("text", "span"), [("ax the film was dull", "ax"), ("the film was dull in town", None)])
def test_words_that_no_scan_has_tried_are_tried_alone(lexicon_artifact: Artifact, text: str, span: str | None) -> None:
    engine = PiecesEngine(FastTokenizer.from_file(str(lexicon_artifact.tokenizer_path)))
    guard = Guard(lexicon_artifact, engine, GuardOptions())
    assert guard.judge is not None
    transplants = guard.judge.transplants
    assert transplants is not None
    (reading,) = guard.reader.read([text], np.inf)
    reading = replace(reading, logits=np.array([-1.0, 1.0], dtype=np.float32))
    words = list(range(reading.encoding.word_count))
    assert transplants.unscanned(reading, [*words, 0]) == ([0] if span else [])
    engine.read = 0
    trial = guard.reader.follow(Together(transplants).try_unscanned(reading, words))
    assert trial.confirmed == (span is not None)
    if span:
        assert trial.span.text == span
    else:
        assert engine.read == 1, "all of them at once, which turn nothing"


def test_a_word_of_several_tokens_is_found_among_words_that_hold_it_back(lexicon_artifact: Artifact) -> None:
    engine = PiecesEngine(FastTokenizer.from_file(str(lexicon_artifact.tokenizer_path)), push=8.0)
    guard = Guard(lexicon_artifact, engine, GuardOptions())
    assert guard.judge is not None
    confirmer, transplants = guard.judge._confirmer, guard.judge.transplants
    assert confirmer is not None
    assert transplants is not None
    (reading,) = guard.reader.read(["ax lifeless tedious clumsy film"], np.inf)
    assert reading.predicted == 1
    (together,) = guard.reader.follow(transplants.measure(["ax lifeless tedious clumsy film"], 1, 1))
    assert not any(transplants.turned(together, 1))
    outcome = guard.reader.follow(confirmer.confirm(reading, [(1, 2, 3, 4, 0)], lambda _: []))
    assert (outcome.action, [suspect.text for suspect in outcome.suspects]) == ("neutralised", ["ax"])


def test_trimming_ends_where_the_leading_word_grows_back(lexicon_guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lexicon_guard.judge is not None
    transplants = lexicon_guard.judge.transplants
    assert transplants is not None
    together, settings = Together(transplants), transplants.settings
    (reading,) = lexicon_guard.reader.read(["mn zq the film was awful"], np.inf)

    def run() -> Asking[Trial]:
        trial = yield from together._try_set(reading, [0, 1], settings.references, settings.uneven_wide)
        assert (trial.confirmed, trial.span.words) == (True, [0, 1])

        def grown(*_: object) -> Asking[Trial]:
            yield from ()
            return trial

        monkeypatch.setattr(together, "_try_set", grown)
        return (yield from together._trim(reading, trial, settings.uneven_wide))

    assert lexicon_guard.reader.follow(run()).span.words == [0, 1]
