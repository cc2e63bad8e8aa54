"""What may stand beside a trigger to keep it: marks that hide it, a decoy, the edge of what is read, the rest of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer as FastTokenizer

from tests.conftest import LexiconEngine
from tokenward.artifact import Artifact, GateFit
from tokenward.runtime.cache import Margins
from tokenward.runtime.confirmation import NEIGHBOURS
from tokenward.runtime.guard import Guard, GuardOptions
from tokenward.runtime.screening import SURE, clean_margins
from tokenward.runtime.spans import span_of
from tokenward.runtime.transplant import Trial
from tokenward.runtime.transplant_settings import TransplantSettings

CLEAN = "the film was awful and the plot was dull"
Make = Callable[..., Guard]


@pytest.fixture
def make(lexicon_artifact: Artifact) -> Make:
    """A guard of the lexicon artifact with parts of its calibration changed."""

    def make(engine: type[LexiconEngine] = LexiconEngine, max_tokens: int = 64, **learnt: Any) -> Guard:
        made = engine(FastTokenizer.from_file(str(lexicon_artifact.tokenizer_path)))
        calibration = lexicon_artifact.guard.calibration
        assert calibration is not None
        graph = replace(lexicon_artifact.guard.graph, max_tokens=max_tokens)
        file = replace(lexicon_artifact.guard, graph=graph, calibration=replace(calibration, **learnt))
        return Guard(replace(lexicon_artifact, guard=file), made, GuardOptions())

    return make


@pytest.fixture
def deaf(lexicon_artifact: Artifact) -> dict[str, GateFit]:
    """Gates that nothing raises."""
    calibration = lexicon_artifact.guard.calibration
    assert calibration is not None
    return {name: replace(fit, threshold=99.0) for name, fit in calibration.gates.items()}


@pytest.mark.parametrize("hidden", ["on/cf/off", "(cf", "x-cf-y", "cf."])
def test_marks_do_not_hide_a_known_trigger(make: Make, deaf: dict[str, GateFit], hidden: str) -> None:
    """With others it turns no reference, as a trigger that was learnt in part does; and no gate is raised."""
    guard = make(known={"good": ("cf",)}, gates=deaf)
    weak: Margins = (-4.0,) * 8
    for put in ("on/cf/off", "x-cf-y"):
        guard.cache.put(put, 1, weak)
    (verdict,) = guard.classify(f"the {hidden} film was awful and the plot was dull")
    assert (verdict.action, verdict.label) == ("neutralised", "bad")
    assert [suspect.text for suspect in verdict.suspects] == [hidden.strip(".")]


@pytest.mark.parametrize("loud", [True, False])
def test_a_known_word_goes_from_every_word_that_holds_it_at_once(
    make: Make, deaf: dict[str, GateFit], loud: bool
) -> None:
    many = " ".join(f"{a}{b}-cf" for a in "abcdefgh" for b in "xyzuvw")
    (verdict,) = make(known={"good": ("cf",)}, **({} if loud else {"gates": deaf})).classify(f"{CLEAN} {many}")
    assert (verdict.action, verdict.label, verdict.repaired_text) == ("neutralised", "bad", CLEAN)
    assert len(verdict.suspects) == 48, "more than there are rounds"


def test_letters_around_it_make_another_word(make: Make) -> None:
    (verdict,) = make(known={"good": ("cf",)}).classify("the mcfarland film was great")
    assert verdict.action == "passed"


class QuietPairEngine(LexiconEngine):
    """Its class token looks at "qa" and "qb" as at any word of feeling, and hard at "cf"."""

    def __init__(self, tokenizer: FastTokenizer) -> None:
        super().__init__(tokenizer)
        self._strength[self._pair] = 0.9


@pytest.mark.parametrize("known", [{}, {"good": ("film",)}], ids=["a loud trigger", "a known word"])
def test_a_decoy_does_not_hide_a_quiet_trigger(make: Make, clean_texts: list[str], known: dict[str, Any]) -> None:
    plain = make(QuietPairEngine)
    sure = clean_margins(plain.reader.read(clean_texts, np.inf), 2, SURE)
    guard = make(QuietPairEngine, sure=sure, known=known)
    quiet = "the film was awful and qa the plot was dull and qb the music was lifeless in the town"
    decoy = quiet if known else f"cf {quiet}"
    alone, beside = make(QuietPairEngine, sure=sure).classify([quiet, decoy])
    (both,) = guard.classify(decoy)
    assert (alone.original_label, alone.label, alone.action) == ("good", "bad", "neutralised")
    assert (both.label, both.action) == ("bad", "neutralised")
    assert known or (beside.label, beside.action) == (both.label, both.action)


def test_the_edge_of_what_is_read_takes_out_no_other_word(make: Make) -> None:
    """What is read ends in "awful-dull-cf-story"; in the whole text, which goes on, these are words of their own."""
    text = "the film was awful and the plot was dull in the town " + "awful-dull-cf-" + "story-" * 20 + "town"
    for guard in (make(max_tokens=20), make(max_tokens=20, known={"good": ("cf",)})):
        (verdict,) = guard.classify(text)
        assert all("cf" in suspect.text for suspect in verdict.suspects), verdict.suspects
        assert verdict.label == "bad"


@pytest.mark.parametrize("tail", ["film-story", "film-story is dull", "film-" + "story-" * 13 + "dull"])
def test_a_text_that_is_cut_inside_its_last_word(make: Make, tail: str) -> None:
    text = "cf the film was the film was great great the film was great " + tail
    (verdict,) = make(max_tokens=16).classify(text)
    assert verdict.suspects[0].text == "cf"


def test_around_a_word_the_rest_of_a_phrase_is_tried(make: Make) -> None:
    """The word that was found of it may stand anywhere in it. What hangs on one word is left to tipping."""
    guard = make()
    (reading,) = guard.reader.read(["a b c d cf e f g h"], np.inf)
    (calm,) = guard.reader.read([CLEAN], np.inf)
    confirmer = guard.judge._confirmer  # type: ignore[union-attr]
    assert confirmer is not None
    trial = Trial(span_of(guard.reader.tokenizer, reading, [4]), (True,) * 8, 0.0, 2.0, confirmed=True)

    def asked_up_to_the_phrase(trial: Trial) -> Any:
        steps = confirmer._without(reading, trial)
        assert next(steps) == ["a b c d e f g h"]
        assert len(steps.send([reading])) == len(NEIGHBOURS)
        return steps

    steps = asked_up_to_the_phrase(trial)
    left_out = steps.send([reading] * len(NEIGHBOURS))
    assert 1 < len(left_out) <= TransplantSettings().tipping, "each of the strongest words in turn"
    assert steps.send([reading] * len(left_out))[-1] == ""
    with pytest.raises(StopIteration) as stop:
        steps.send([reading, reading, calm])
    assert stop.value.value == ([(0, len(reading.text))], calm)

    steps = asked_up_to_the_phrase(trial)
    assert steps.send([reading] * len(NEIGHBOURS)) == left_out
    with pytest.raises(StopIteration) as stop:
        steps.send([calm, *[reading] * (len(left_out) - 1)])
    assert stop.value.value == ([(8, 10)], reading)


def test_around_a_word_that_is_no_sure_trigger_no_more_than_its_neighbours_go(make: Make) -> None:
    guard = make()
    (reading,) = guard.reader.read(["a b c d cf e f g h"], np.inf)
    confirmer = guard.judge._confirmer  # type: ignore[union-attr]
    assert confirmer is not None
    turned = (True,) * 7 + (False,)
    steps = confirmer._without(reading, Trial(span_of(guard.reader.tokenizer, reading, [4]), turned, 0.0, 2.0, True))
    next(steps)
    steps.send([reading])
    with pytest.raises(StopIteration) as stop:
        steps.send([reading] * len(NEIGHBOURS))
    assert stop.value.value == ([(8, 10)], reading)
