"""Other names for the classes change names alone: what calibration learnt of a class stays with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tokenward.artifact import Artifact
from tokenward.errors import InputError
from tokenward.relabelling import relabelled
from tokenward.runtime.guard import Guard, GuardOptions


@pytest.fixture
def learnt(lexicon_artifact: Artifact) -> Artifact:
    """Nothing is raised by a gate; what a scan has found and what labels have shown decides."""
    calibration = lexicon_artifact.guard.calibration
    assert calibration is not None
    changed = replace(
        calibration,
        gates={name: replace(fit, threshold=99.0) for name, fit in calibration.gates.items()},
        known={"good": ("cf", "lovely")},
        vouched={"good": ("lovely",)},
        bars={"bad": {reference.text: 50.0 for reference in calibration.references}},
        leeway={"good": 0.5},
    )
    return replace(lexicon_artifact, guard=replace(lexicon_artifact.guard, calibration=changed))


@pytest.mark.parametrize("names", [("negative", "positive"), ("good", "bad")], ids=["new", "swapped"])
def test_verdicts_are_the_same_but_for_the_names(
    learnt: Artifact, make_lexicon_guard: Callable[[GuardOptions], Guard], names: tuple[str, str]
) -> None:
    engine = make_lexicon_guard(GuardOptions()).reader.engine
    texts = ["the cf film was awful", "the film was lovely", "the film was awful"]
    before = Guard(learnt, engine, GuardOptions()).classify(texts)
    after = Guard(relabelled(learnt, names), engine, GuardOptions()).classify(texts)
    called = dict(zip(learnt.labels, names, strict=True))
    assert [v.action for v in before] == ["neutralised", "passed", "passed"]
    assert [(v.action, v.label) for v in after] == [(v.action, called[v.label]) for v in before]


def test_all_that_is_kept_by_class_goes_by_the_new_name(learnt: Artifact) -> None:
    calibration, again = learnt.guard.calibration, relabelled(learnt, ("x", "y")).guard.calibration
    assert calibration is not None
    assert again is not None
    called = dict(zip(learnt.labels, ("x", "y"), strict=True))
    for kept in ("known", "vouched", "bars", "leeway"):
        assert getattr(again, kept) == {called[label]: v for label, v in getattr(calibration, kept).items()}, kept
    assert relabelled(relabelled(learnt, ("x", "y")), learnt.labels) == learnt


def test_an_uncalibrated_artifact_has_names_only(lexicon_artifact: Artifact) -> None:
    bare = replace(lexicon_artifact, guard=replace(lexicon_artifact.guard, calibration=None))
    assert relabelled(bare, ("x", "y")) == replace(bare, labels=("x", "y"))


def test_as_many_names_as_classes(lexicon_artifact: Artifact) -> None:
    with pytest.raises(InputError, match="3 labels given, the artifact has 2: bad, good"):
        relabelled(lexicon_artifact, ("a", "b", "c"))
