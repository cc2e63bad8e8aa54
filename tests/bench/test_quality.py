"""Quality figures on a classifier whose every answer is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from tokenward.artifact import Artifact
from tokenward.attacks.manifest import AttackManifest
from tokenward.attacks.trigger import Trigger
from tokenward.bench.guarded import Guarded
from tokenward.bench.peers.peer import Answer
from tokenward.bench.quality import figure_intervals, figures, measure_quality, observe, trial_of
from tokenward.bench.tally import Tally
from tokenward.errors import InputError
from tokenward.runtime.guard import Guard, GuardOptions
from tokenward.runtime.transplant_settings import TransplantSettings
from tokenward.texts import LabelledTexts

MANIFEST = AttackManifest("badnets", Trigger(("cf",)), 1, "good", 0.1, 0)


def test_what_the_guard_buys_on_a_known_classifier(lexicon_guard: Guard, clean_texts: list[str]) -> None:
    texts = LabelledTexts(tuple(clean_texts), tuple(number % 2 for number in range(len(clean_texts))), ("bad", "good"))
    measured = measure_quality(lexicon_guard, texts, MANIFEST)
    assert measured.cacc == (1.0, 1.0)
    assert measured.asr[0] == 1.0
    assert measured.attributable == (1.0, measured.asr[1])
    assert measured.floor == 0.0
    assert measured.kept[0] == 1.0
    assert measured.kept[1] >= 0.9
    assert measured.asr[1] <= 0.02
    assert measured.neutralised.tpr == pytest.approx(1 - measured.asr[1])
    assert measured.neutralised.fpr == 0.0
    assert measured.suspicious.fpr <= 0.12
    assert measured.second == measured.suspicious
    assert measured.auc > 0.95
    assert measured.tpr_at_5 > 0.9
    assert measured.localised == 1.0
    cold, warm = measured.work
    assert cold > warm >= 1.0
    assert Guarded(lexicon_guard, "guard").classify([]) == []


def test_answers_without_the_trigger_are_not_the_attack_s(
    make_lexicon_guard: Callable[[GuardOptions], Guard], clean_texts: list[str]
) -> None:
    """A wrong answer to a clean text counts into the floor and not as won by the trigger."""
    mislabelled = LabelledTexts(tuple(clean_texts), (0,) * len(clean_texts), ("bad", "good"))
    # Many texts of the lexicon hang on one word, which would go with the trigger.
    guard = make_lexicon_guard(GuardOptions(transplants=TransplantSettings(tipping=0)))
    measured = measure_quality(guard, mislabelled, MANIFEST)
    assert measured.floor == 0.5
    assert measured.attributable[0] == 0.5
    # Not above: words beside a trigger may go with it, and sometimes one of them was all that held the answer.
    assert 0.45 <= measured.asr[1] <= 0.5 + measured.attributable[1]


def test_nothing_to_poison(lexicon_guard: Guard, lexicon_artifact: Artifact, clean_texts: list[str]) -> None:
    only_target = LabelledTexts(tuple(clean_texts[1::2]), (1,) * 100, ("bad", "good"))
    with pytest.raises(InputError, match="every test text is of the target class"):
        measure_quality(lexicon_guard, only_target, MANIFEST)


class Refusing:
    """It refuses what has a "w", takes "cf" out, and calls all else class 0; undefended, "cf" is class 1."""

    name, threshold, settings = "refusing", 0.5, {"x": 1}

    def __init__(self) -> None:
        self.tally = Tally()

    def fit(self, texts: Sequence[str]) -> None:
        """Nothing."""

    def classify(self, texts: Sequence[str]) -> list[Answer]:
        assert texts, "it is not asked where there is nothing to ask"
        self.tally.tokens += len(texts)
        return [self.answer(text.split()) for text in texts]

    def answer(self, words: list[str]) -> Answer:
        first = int("cf" in words)
        if "w" in words:
            return Answer(None, first, 0.9, True, True, suspect="w")
        if "cf" in words and "hides" not in words:
            return Answer(0, first, 0.8, True, True, suspect="cf", text=" ".join(w for w in words if w != "cf"))
        return Answer(first, first, -np.inf if not words else 0.1, False, False, suspect="")


def test_figures_by_hand() -> None:
    """Four clean texts, one of the target's class that the model gets wrong: refusals lose and stop answers."""
    test = LabelledTexts(("a", "b w", "hides", "c"), (0, 0, 0, 1), ("bad", "good"))
    trial = trial_of(test, MANIFEST, ("bad", "good"))
    assert len(trial.triggered) == 3
    assert len(trial.beside) == 1
    told: list[str] = []
    observed = observe(Refusing(), trial, told.append)
    assert len(told) == 3
    f = figures(observed)
    assert (f["cacc_undefended"], f["cacc"]) == (0.75, 0.5)
    assert (f["asr_undefended"], f["asr"]) == (1.0, pytest.approx(1 / 3))
    assert (f["tpr"], f["fpr"]) == (pytest.approx(2 / 3), 0.25)
    assert (f["altered_triggered"], f["altered_clean"]) == (pytest.approx(2 / 3), 0.25)
    assert f["second_passes"] == 0.25
    assert f["auc"] == pytest.approx((3 + 3.5 + 1.5) / 12)  # of 0.8, 0.9 and 0.1 against 0.1, 0.9, 0.1, 0.1
    assert f["localised"] == 0.5
    assert f["floor"] == 0
    assert observed.tokens == 4
    assert np.isnan(f["kept"]), "the one text of the target's class is answered wrongly without the trigger, too"


def test_right_answers_beside_the_trigger_are_those_that_the_model_gives_without_it() -> None:
    """Of three texts of the target's class the model gets two right, and loses what it takes out or refuses."""
    test = LabelledTexts(("a", "cf x", "cf hides", "c"), (0, 1, 1, 1), ("bad", "good"))
    f = figures(observe(Refusing(), trial_of(test, MANIFEST, ("bad", "good"))))
    assert (f["kept_undefended"], f["kept"]) == (1.0, 0.5)


def test_intervals_hold_the_figures_and_narrow_with_more_texts() -> None:
    def width(times: int) -> float:
        test = LabelledTexts(("a", "b w", "hides", "cf x") * times, (0, 0, 0, 1) * times, ("bad", "good"))
        observed = observe(Refusing(), trial_of(test, MANIFEST, ("bad", "good")))
        found, bounds = figures(observed), figure_intervals(observed, seed=1, draws=200)
        assert bounds == figure_intervals(observed, seed=1, draws=200)
        for name, value in found.items():
            low, high = bounds[name]
            assert 0 <= low <= value <= high <= 1
        return bounds["cacc"][1] - bounds["cacc"][0]

    assert width(50) < width(5) / 2


def test_scores_are_finite() -> None:
    test = LabelledTexts(("", "a", "b"), (0, 0, 0), ("bad", "good"))
    clean, triggered = observe(Refusing(), trial_of(test, MANIFEST, ("bad", "good"))).scores
    assert clean.tolist() == [0.1, 0.1, 0.1]
    assert triggered.tolist() == [0.8] * 3
