"""Purifiers by name: their settings are read from text, and refused where they make no sense."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tokenward.errors import InputError
from tokenward.purify.baselines.fine_mixing import FineMixing
from tokenward.purify.btu import BTU
from tokenward.purify.mbtsad import MBTSAD
from tokenward.purify.purifier import PURIFYING
from tokenward.purify.registry import PURIFIERS, make_purifier, settings_of
from tokenward.purify.training import TrainingSettings
from tokenward.texts import LabelledTexts

TRAINING = TrainingSettings(epochs=7, learning_rate=1e-5, max_length=50)
POISONED = LabelledTexts(("a", "b"), (0, 1), ("x", "y"))
NEEDED = {"fine-mixing": {"pretrained": "minilm"}}


@pytest.mark.parametrize("name", PURIFIERS)
def test_every_name_makes_the_purifier_that_reports_it(name: str) -> None:
    purifier = make_purifier(name, NEEDED.get(name, {}), POISONED if name == "btu" else None, **vars(TRAINING))
    assert (purifier.name, purifier.training) == (name, TRAINING)


def test_training_that_is_not_given_is_the_methods_own() -> None:
    assert make_purifier("mbtsad", {}, epochs=None, max_length=50).training == replace(PURIFYING, max_length=50)
    assert make_purifier("btu", {}, POISONED, epochs=1).training == TrainingSettings(epochs=1)


def test_settings_are_read_as_their_types() -> None:
    text = {"alpha": "0", "variants": "5", "augmentation": "eda", "distil": "off"}
    assert make_purifier("mbtsad", text) == MBTSAD(alpha=0.0, variants=5, augmentation="eda", distil=False)
    assert make_purifier("btu", {"share": "0.01"}, POISONED) == BTU(poisoned=POISONED, share=0.01)
    assert make_purifier("fine-mixing", {"pretrained": "minilm"}) == FineMixing(pretrained="minilm")
    assert replace(MBTSAD(), distil=False) == make_purifier("ts-ft", {})


def test_settings_are_those_a_person_can_give() -> None:
    assert settings_of("btu") == {"share": float, "exposing_rate": float, "clean_epochs": int}
    assert "distil" not in settings_of("ts-ft")
    assert settings_of("fine-tuning") == {}


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("magic", {}, "no purifier 'magic': choose one of mbtsad"),
        (
            "mbtsad",
            {"gamma": "1"},
            "mbtsad has no setting 'gamma': it has student_factor, augmentation, variants, alpha",
        ),
        ("fine-tuning", {"alpha": "1"}, "fine-tuning has no setting 'alpha': it has none"),
        ("mbtsad", {"variants": "1.5"}, "setting variants=1.5: give a whole number"),
        ("mbtsad", {"alpha": "much"}, "setting alpha=much: give a finite number"),
        ("mbtsad", {"distil": "perhaps"}, "setting distil=perhaps: give on or off"),
        ("mbtsad", {"alpha": "-1"}, "give numbers of 0 or more"),
        ("mbtsad", {"student_factor": "nan"}, "setting student_factor=nan: give a finite number"),
        ("mbtsad", {"student_factor": "0"}, "0.0 times the teacher's: give a positive number"),
        ("fine-pruning", {"share": "inf"}, "setting share=inf: give a finite number"),
        ("fine-mixing", {}, "needs the pre-trained weights"),
        ("btu", {}, "needs the suspect training set"),
    ],
)
def test_bad_requests(name: str, settings: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_purifier(name, settings)


@pytest.mark.parametrize("name", [name for name in PURIFIERS if name != "btu"])
def test_the_suspect_texts_are_for_btu_alone(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} has no use for the suspect training set"):
        make_purifier(name, NEEDED.get(name, {}), POISONED)


def test_settings_that_are_no_number_are_refused_of_the_classes_too() -> None:
    with pytest.raises(InputError, match="give numbers of 0 or more"):
        MBTSAD(alpha=float("nan"))
    for wrong in ({"exposing_rate": float("nan")}, {"exposing_rate": 0.0}, {"clean_epochs": 0}):
        with pytest.raises(InputError, match="exposing_rate must be a positive number, its clean_epochs at least 1"):
            BTU(poisoned=POISONED, **wrong)  # type: ignore[arg-type]  # one field each
