"""Quality figures on a classifier whose every answer is known."""

from __future__ import annotations

import pytest

from tokenward.artifact import Artifact
from tokenward.attacks.manifest import AttackManifest
from tokenward.attacks.trigger import Trigger
from tokenward.bench.quality import measure_quality
from tokenward.errors import InputError
from tokenward.runtime.guard import Guard
from tokenward.texts import LabelledTexts

MANIFEST = AttackManifest("badnets", Trigger(("cf",)), 1, "good", 0.1, 0)


def test_what_the_guard_buys_on_a_known_classifier(lexicon_guard: Guard, clean_texts: list[str]) -> None:
    texts = LabelledTexts(tuple(clean_texts), tuple(number % 2 for number in range(len(clean_texts))), ("bad", "good"))
    measured = measure_quality(lexicon_guard, texts, MANIFEST)
    assert measured.cacc == (1.0, 1.0)
    assert measured.asr[0] == 1.0
    assert measured.attributable == (1.0, measured.asr[1])
    assert measured.floor == 0.0
    assert measured.asr[1] <= 0.02
    assert measured.neutralised.tpr == pytest.approx(1 - measured.asr[1])
    assert measured.neutralised.fpr == 0.0
    assert measured.suspicious.fpr <= 0.12
    assert measured.auc > 0.95
    assert measured.localised == 1.0
    cold, warm = measured.work
    assert cold > warm >= 1.0


def test_answers_without_the_trigger_are_not_the_attack_s(lexicon_guard: Guard, clean_texts: list[str]) -> None:
    """A wrong answer to a clean text counts into the floor and not as won by the trigger."""
    mislabelled = LabelledTexts(tuple(clean_texts), (0,) * len(clean_texts), ("bad", "good"))
    measured = measure_quality(lexicon_guard, mislabelled, MANIFEST)
    assert measured.floor == 0.5
    assert measured.attributable[0] == 0.5
    # Not above: words beside a trigger may go with it, and sometimes one of them was all that held the answer.
    assert 0.45 <= measured.asr[1] <= 0.5 + measured.attributable[1]


def test_nothing_to_poison(lexicon_guard: Guard, lexicon_artifact: Artifact, clean_texts: list[str]) -> None:
    only_target = LabelledTexts(tuple(clean_texts[1::2]), (1,) * 100, ("bad", "good"))
    with pytest.raises(InputError, match="every test text is of the target class"):
        measure_quality(lexicon_guard, only_target, MANIFEST)
