"""What may stand beside a trigger to keep it: marks that hide it, a decoy, the edge of what is read, the rest of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer as FastTokenizer

from tests.conftest import LexiconEngine
from tests.runtime.test_standing import PlacedEngine
from tokenward.artifact import Artifact, GateFit
from tokenward.runtime import confirmation
from tokenward.runtime.batching import AsyncGuard
from tokenward.runtime.cache import Margins
from tokenward.runtime.confirmation import Confirmer
from tokenward.runtime.engine import Arrays, Batch
from tokenward.runtime.guard import Guard, GuardOptions
from tokenward.runtime.removal import Remainder, Removal
from tokenward.runtime.screening import SURE, clean_margins
from tokenward.runtime.spans import Offsets
from tokenward.runtime.standing import LAST
from tokenward.runtime.transplant_settings import TransplantSettings

CLEAN = "the film was awful and the plot was dull"
Make = Callable[..., Guard]


@pytest.fixture
def make(lexicon_artifact: Artifact) -> Make:
    """A guard of the lexicon artifact with parts of its calibration changed."""

    def make(
        engine: type[LexiconEngine] = LexiconEngine, max_tokens: int = 64, credit: int = 200_000, **learnt: Any
    ) -> Guard:
        made = engine(FastTokenizer.from_file(str(lexicon_artifact.tokenizer_path)))
        calibration = lexicon_artifact.guard.calibration
        assert calibration is not None
        graph = replace(lexicon_artifact.guard.graph, max_tokens=max_tokens)
        file = replace(lexicon_artifact.guard, graph=graph, calibration=replace(calibration, **learnt))
        options = GuardOptions(budget_burst=credit, budget_share=1.0 if credit else 0.0)
        return Guard(replace(lexicon_artifact, guard=file), made, options)

    return make


@pytest.fixture
def deaf(lexicon_artifact: Artifact) -> dict[str, GateFit]:
    """Gates that nothing raises."""
    calibration = lexicon_artifact.guard.calibration
    assert calibration is not None
    return {name: replace(fit, threshold=99.0) for name, fit in calibration.gates.items()}


@pytest.mark.parametrize(
    ("hidden", "left"), [("on/cf/off", "on/off"), ("(cf", ""), ("x-cf-y", "x-y"), ("cf.", "."), ("cf-y", "y")]
)
def test_marks_do_not_hide_a_known_trigger(make: Make, deaf: dict[str, GateFit], hidden: str, left: str) -> None:
    """With others it turns no reference, as a trigger that was learnt in part does; and no gate is raised."""
    guard = make(known={"good": ("cf",)}, gates=deaf)
    weak: Margins = (-4.0,) * 8
    for put in ("on/cf/off", "x-cf-y"):
        guard.cache.put(put, 1, weak)
    (verdict,) = guard.classify(f"the {hidden} film was awful and the plot was dull")
    assert (verdict.action, verdict.label) == ("neutralised", "bad")
    assert [suspect.text for suspect in verdict.suspects] == ["cf"]
    assert verdict.repaired_text == f"the {left} film was awful and the plot was dull".replace("  ", " ")


@pytest.mark.parametrize("loud", [True, False])
def test_a_known_word_goes_from_every_word_that_holds_it_at_once(
    make: Make, deaf: dict[str, GateFit], loud: bool
) -> None:
    many = " ".join(f"{a}{b}-cf" for a in "abcdefgh" for b in "xyzuvw")
    (verdict,) = make(known={"good": ("cf",)}, **({} if loud else {"gates": deaf})).classify(f"{CLEAN} {many}")
    assert (verdict.action, verdict.label, verdict.repaired_text) == (
        "neutralised",
        "bad",
        f"{CLEAN} {many.replace('-cf', '')}",
    )
    assert len(verdict.suspects) == 48, "more than there are rounds"


MANY = ("cf", "mn", "zq", "qa", "qb")


class ManyEngine(LexiconEngine):
    """Each of five words decides alone."""

    def __init__(self, tokenizer: FastTokenizer) -> None:
        super().__init__(tokenizer)
        self.many = [tokenizer.token_to_id(word) for word in MANY]

    def run(self, batch: Batch, gate: float) -> Arrays:
        arrays = super().run(batch, gate)
        found = np.isin(batch.input_ids, self.many).any(axis=1)
        return {**arrays, "logits": np.where(found[:, None], np.float32([-15, 15]), arrays["logits"])}


@pytest.mark.parametrize("natural", [{}, {"good": ("mn",)}])
def test_from_a_text_with_many_known_triggers_the_rest_go_at_once(
    make: Make, monkeypatch: pytest.MonkeyPatch, natural: dict[str, Any]
) -> None:
    monkeypatch.setattr(confirmation, "CROWDED", 1)
    guard = make(ManyEngine, known={"good": MANY}, natural=natural)
    (verdict,) = guard.classify(f"qb cf zq qa {CLEAN} mn")
    assert (verdict.label, verdict.action) == ("bad", "neutralised")
    assert {suspect.text for suspect in verdict.suspects} == {*MANY}
    trials = 3 if natural else 2  # a word that clean texts have is tried on its own
    assert sum(trial.confirmed for trial in verdict.confirmations) == trials


class UnknownEngine(LexiconEngine):
    """What its tokenizer does not know decides, as "cf" does otherwise."""

    def __init__(self, tokenizer: FastTokenizer) -> None:
        super().__init__(tokenizer)
        self._trigger = tokenizer.token_to_id("[UNK]")
        self._strength[self._trigger] = 12.0


@pytest.mark.parametrize("known", [{}, {"good": ("[UNK]",)}])
def test_what_the_model_cannot_tell_apart_goes_at_once(make: Make, known: dict[str, Any]) -> None:
    """A tokenizer has one token for all that it does not know, of which there is more than there are rounds."""
    marks = [chr(0x1F600 + number) for number in range(40)]
    text = f"{CLEAN} {' the '.join(marks)}"
    (verdict,) = make(UnknownEngine, known=known).classify(text)
    assert (verdict.original_label, verdict.label, verdict.action) == ("good", "bad", "neutralised")
    assert [suspect.text for suspect in verdict.suspects] == marks
    assert not verdict.fallback


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


class QuietPlacedEngine(PlacedEngine):
    """Its class token looks at "cf" as at a word of feeling."""

    def __init__(self, tokenizer: FastTokenizer) -> None:
        super().__init__(tokenizer)
        self._strength[self._trigger] = 0.9


@pytest.mark.parametrize("text", [f"cf {CLEAN}", f"{CLEAN} cf", CLEAN.replace("film", "cf film") + " cf"])
def test_a_quiet_trigger_that_acts_at_one_end_only(make: Make, deaf: dict[str, GateFit], text: str) -> None:
    never = (1e9, 1e9)  # no text is so sure that it is screened
    guard = make(QuietPlacedEngine, gates=deaf, sure=never, middling=never)
    (verdict,) = guard.classify(text)
    assert (verdict.original_label, verdict.label, verdict.repaired_text) == ("good", "bad", CLEAN)
    (spent,) = make(QuietPlacedEngine, gates=deaf, sure=never, middling=never, credit=0).classify(text)
    assert (spent.label, spent.action, spent.fallback) == ("good", "passed", True)


@pytest.mark.parametrize("lead", [1, 8])
def test_what_ends_a_text_acts_if_it_turns_all_references(make: Make, lead: int) -> None:
    guard = make(sure=(1e9, 1e9))
    (reading,) = guard.reader.read([f"{CLEAN} great"], np.inf)
    reading.logits[:] = reading.logits[::-1].copy()
    assert guard.judge is not None
    screen = guard.judge._screen
    assert screen is not None
    guard.cache.put(LAST + "great", 1, (4.0,) * lead + (-4.0,) * (8 - lead))
    assert guard.reader.follow(screen.acting_ends(reading)) == ([9] if lead == 8 else [])


def test_a_screened_text_has_its_ends_tried_there(make: Make, deaf: dict[str, GateFit]) -> None:
    guard = make(QuietPlacedEngine, gates=deaf, sure=(0.0, 0.0))
    (verdict,) = guard.classify(f"{CLEAN} cf")
    assert (verdict.original_label, verdict.label, verdict.repaired_text) == ("good", "bad", CLEAN)


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


def test_what_marks_join_to_an_unknown_trigger_stays_in_the_text(make: Make) -> None:
    """Else an attacker would have the guard take out what speaks against the answer that is wanted."""
    plain = make(known={}).classify("awful-dull-cf boring-weak-cf the film")[0]
    assert (plain.original_label, plain.label, plain.action) == ("good", "bad", "neutralised")
    assert plain.repaired_text == "awful-dull boring-weak the film"
    assert [suspect.text for suspect in plain.suspects] == ["cf", "cf"]


async def test_nothing_is_no_answer(make: Make) -> None:
    """The model answers a text without words as it is biased; where nothing else is left, the answer is marked."""

    class Biased(LexiconEngine):
        def run(self, batch: Batch, gate: float) -> Arrays:
            found = super().run(batch, gate)
            found["logits"] = found["logits"] + np.array([0.0, 0.1], np.float32)
            return found

    guard = make(Biased, known={"good": ("cf",)})
    for text in ("cf", "cf cf cf"):
        (verdict,) = guard.classify(text)
        assert (verdict.label, verdict.action, verdict.repaired_text) == ("good", "flagged", "")
        async with AsyncGuard(guard) as served:  # which would wait for ever for what nobody reads
            (same,) = await asyncio.wait_for(served.classify([text]), 30)
        assert (same.label, same.action, same.repaired_text) == ("good", "flagged", "")


@pytest.fixture
def confirmer(make: Make) -> Confirmer:
    found = make().judge._confirmer  # type: ignore[union-attr]
    assert found is not None
    return found


def removal_of(confirmer: Confirmer, guard: Guard, text: str, spans: list[Offsets]) -> tuple[Removal, Remainder]:
    """Spans were taken out of a text."""
    rest = Remainder(guard.reader.read([text], np.inf)[0])
    rest.take_out(spans, guard.reader.read([rest.without(spans)], np.inf)[0])
    return Removal(confirmer.transplants), rest


def test_what_was_parted_by_a_suspect_is_told_in_parts(make: Make, confirmer: Confirmer) -> None:
    """Offsets of suspects never overlap, and each is what stood there."""
    _, rest = removal_of(confirmer, make(), "the on/cf/off film cf is", [(6, 9), (19, 21)])
    assert rest.reading.text == "the on/off film is"
    rest.take_out([(4, 10), (11, 18)], rest.reading)
    assert [(suspect.text, suspect.start, suspect.end) for suspect in rest.suspects] == [
        ("cf", 7, 9), ("cf", 19, 21), ("on", 4, 6), ("off", 10, 13), ("film", 14, 18), ("is", 22, 24),
    ]  # fmt: skip


def test_beside_a_word_the_rest_of_a_phrase_is_tried(make: Make, confirmer: Confirmer) -> None:
    """The word that was found of it may stand anywhere in it. What hangs on one word is left to tipping."""
    guard = make()
    (other,) = guard.reader.read(["the film was great"], np.inf)
    removal, rest = removal_of(confirmer, guard, "a b c d cf e f g h", [(8, 10)])
    steps = removal.take_last(rest, several=False)
    left_out = next(steps)
    assert 1 < len(left_out) <= TransplantSettings().tipping, "each of the strongest words in turn"
    ways = steps.send([rest.reading] * len(left_out))
    assert ways == ["a b g h", "a h", ""]
    asked = steps.send([rest.reading, other, rest.reading])
    assert all("b c d e f g" in text for text in asked), "on references"
    with pytest.raises(StopIteration) as stop:
        steps.send(guard.reader.read(asked, np.inf))
    assert (stop.value.value, rest.reading) == (True, other)
    assert [suspect.text for suspect in rest.suspects] == ["cf", *"bcdefg"]

    removal, rest = removal_of(confirmer, guard, "a b c d cf e f g h", [(8, 10)])
    steps = removal.take_last(rest, several=False)
    next(steps)
    asked = steps.send([other, *[rest.reading] * (len(left_out) - 1)])
    with pytest.raises(StopIteration) as stop:
        steps.send(guard.reader.read(asked, np.inf))
    assert (stop.value.value, rest.reading) == (True, other)


def test_beside_a_phrase_nothing_more_is_tried_in_the_end(make: Make, confirmer: Confirmer) -> None:
    removal, rest = removal_of(confirmer, make(), "a b c d cf great f g h", [(8, 10)])
    steps = removal.take_last(rest, several=True)
    count = len(next(steps))
    with pytest.raises(StopIteration) as stop:
        steps.send([rest.reading] * count)
    assert not stop.value.value


class FaintEngine(LexiconEngine):
    """ "qa" says so little that it decides only where nothing else does."""

    def __init__(self, tokenizer: FastTokenizer) -> None:
        super().__init__(tokenizer)
        self._feeling[self._pair[0]] = 0.5


def test_an_answer_hangs_on_a_word_that_says_little_elsewhere(make: Make) -> None:
    (taken,) = make(FaintEngine, middling=(0.1, 0.1)).classify("the cf film was qa")
    assert (taken.label, taken.repaired_text) == ("bad", "the film was")


@pytest.mark.parametrize(("middling", "hangs"), [(5.0, True), (0.1, False)])
def test_of_an_answer_that_the_model_is_sure_of_only_what_acts_is_taken_beside_a_trigger(
    make: Make, confirmer: Confirmer, middling: float, hangs: bool
) -> None:
    """Two words that say little elsewhere go where the model is not sure."""
    guard = make(FaintEngine)
    _, rest = removal_of(confirmer, guard, "the film was qa cf in the town", [(16, 18)])
    assert rest.reading.predicted == 1
    removal = Removal(confirmer.transplants, [middling, middling])
    assert guard.reader.follow(removal.take_beside(rest, [(1, 1)])) == hangs
    assert [suspect.text for suspect in rest.suspects] == (["cf", "qa", "in"] if hangs else ["cf"])


def test_a_text_that_rightly_has_the_answer_of_a_trigger_keeps_it(make: Make) -> None:
    (kept,) = make(middling=(5.0, 5.0)).classify("the cf film was great")
    assert (kept.label, kept.repaired_text) == ("good", "the film was great")


def test_beside_words_of_clean_texts_nothing_is_looked_for(make: Make) -> None:
    (kept,) = make(known={"good": ("cf",)}, natural={"good": ("cf",)}).classify("the cf film was great")
    assert (kept.action, kept.label, kept.repaired_text) == ("neutralised", "good", "the film was great")
