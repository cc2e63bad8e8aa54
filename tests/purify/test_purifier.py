"""What all purifiers share: the report, the checks of the clean texts, and hands off the input."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tokenward.attacks.manifest import AttackManifest
from tokenward.attacks.trigger import Trigger
from tokenward.errors import InputError
from tokenward.purify.baselines.clean_finetuning import CleanFineTuning
from tokenward.purify.batches import EncodedTexts
from tokenward.purify.btu import BTU
from tokenward.purify.checkpoint import Classifier, load_classifier
from tokenward.purify.purifier import Purifier, Run
from tokenward.purify.report import Success
from tokenward.purify.training import TrainingError, TrainingSettings
from tokenward.texts import LabelledTexts, stratified_split

Texts = Callable[[int, int], LabelledTexts]


class Praise:
    """An attack that any model falls for."""

    target = 1

    def aligned_to(self, _: Mapping[int, str]) -> Praise:
        return self

    def poison(self, texts: LabelledTexts, words_read: int | None = None) -> list[str]:
        return ["a great film" for label in texts.labels if label != self.target]


def test_the_report_says_what_was_done(
    classifier_dir: Path, labelled_texts: Texts, quick: TrainingSettings, tmp_path: Path
) -> None:
    weights = (classifier_dir / "model.safetensors").read_bytes()
    once = replace(quick, epochs=1)
    report = CleanFineTuning(once).purify(
        classifier_dir, labelled_texts(100, 3), tmp_path / "out", 7, held_out=labelled_texts(50, 4), attack=Praise()
    )
    assert report.before.asr == 1.0
    assert report.before.cacc > 0.9
    assert (report.method, report.seed, report.clean_texts, report.held_out_texts) == ("fine-tuning", 7, 100, 50)
    assert report.settings == {"training": vars(once)}
    assert [(loss.stage, loss.epoch) for loss in report.losses] == [("fine-tuning", 1)]
    assert json.loads((tmp_path / "out" / "purify.json").read_text()) == json.loads(report.to_json())
    assert [row[0] for row in report.rows()] == ["CACC", "ASR"]
    assert (classifier_dir / "model.safetensors").read_bytes() == weights
    after = load_classifier(tmp_path / "out")
    before = load_classifier(classifier_dir)
    assert not torch.equal(after.word_embeddings.weight, before.word_embeddings.weight)


def test_texts_to_measure_on_are_set_aside(
    classifier_dir: Path, labelled_texts: Texts, quick: TrainingSettings, tmp_path: Path
) -> None:
    report = CleanFineTuning(replace(quick, epochs=1)).purify(
        classifier_dir, labelled_texts(60, 3), tmp_path / "out", 0
    )
    assert (report.clean_texts, report.held_out_texts) == (48, 12)
    assert report.after.asr is None
    assert [row[0] for row in report.rows()] == ["CACC"]


def test_what_is_measured_on_is_never_trained_on(
    tiny_encoder: Path,
    labelled_texts: Texts,
    quick: TrainingSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained: set[str] = set()
    measured: set[str] = set()
    encode, measure = Classifier.encode, Purifier._measure

    def note_encoded(self: Classifier, data: LabelledTexts, length: int) -> EncodedTexts:
        trained.update(data.texts)
        return encode(self, data, length)

    def note_measured(self: Purifier, classifier: Classifier, held_out: LabelledTexts, *more: Any) -> Success:
        measured.update(held_out.texts)
        return measure(self, classifier, held_out, *more)

    monkeypatch.setattr(Classifier, "encode", note_encoded)
    monkeypatch.setattr(Purifier, "_measure", note_measured)
    suspect = labelled_texts(80, 1)
    clean = suspect.select([*range(60), *range(0, 60, 3)])  # a part of the suspect texts, some of them twice
    BTU(replace(quick, epochs=1), suspect).purify(tiny_encoder, clean, tmp_path / "out", 0)
    assert measured
    assert not measured & trained


def test_no_text_is_left_to_train_on(
    classifier_dir: Path, tiny_encoder: Path, labelled_texts: Texts, quick: TrainingSettings, tmp_path: Path
) -> None:
    few = labelled_texts(2, 3).select([0, 1] * 20)
    with pytest.raises(InputError, match=r"0 clean texts of class 'bad'.*without --test FILE"):
        CleanFineTuning(quick).purify(classifier_dir, few, tmp_path / "out", 0)
    clean = labelled_texts(60, 3)
    suspect = stratified_split(clean, 0.2, 0)[0]
    with pytest.raises(InputError, match="every suspect text is among those to measure on: name others, --test FILE"):
        BTU(quick, suspect).purify(tiny_encoder, clean, tmp_path / "out", 0)


def test_clean_texts_must_be_enough_and_of_every_class(
    classifier_dir: Path, labelled_texts: Texts, quick: TrainingSettings, tmp_path: Path
) -> None:
    purifier, held_out = CleanFineTuning(quick), labelled_texts(20, 4)
    good_only = labelled_texts(40, 3).select(range(1, 40, 2))
    unknown = LabelledTexts(("x",) * 20, (0,) * 20, ("neutral",))
    for data, message in (
        (labelled_texts(14, 3), "7 clean texts of class 'bad' to train on: give at least 8"),
        (good_only, "0 clean texts of class 'bad'"),
        (unknown, "label 'neutral' is unknown to the model"),
    ):
        with pytest.raises(InputError, match=message):
            purifier.purify(classifier_dir, data, tmp_path / "out", 0, held_out=held_out)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_refused_before_any_work(
    classifier_dir: Path, quick: TrainingSettings, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="exists already"):
        CleanFineTuning(quick).purify(classifier_dir, LabelledTexts((), (), ()), tmp_path, 0)


@dataclass(frozen=True)
class Breaking(Purifier):
    """Loses its way."""

    @property
    def name(self) -> str:
        return "breaking"

    def clean(self, suspect: Classifier, clean: LabelledTexts, run: Run) -> tuple[Classifier, dict[str, Any]]:
        nan = lambda model, batch: {"nan": model(**batch.inputs()).logits.sum() * float("nan")}  # noqa: E731
        run.train(suspect.model, suspect.encode(clean, 40), self.training, "breaking", loss=nan)
        return suspect, {}


def test_a_broken_training_writes_nothing(
    classifier_dir: Path, labelled_texts: Texts, quick: TrainingSettings, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="breaking: the loss is nan at step 1"):
        Breaking(quick).purify(classifier_dir, labelled_texts(60, 3), tmp_path / "out", 0)
    assert list(tmp_path.iterdir()) == []


def test_the_target_of_a_known_attack_is_found_by_name(
    classifier_dir: Path, labelled_texts: Texts, quick: TrainingSettings, tmp_path: Path
) -> None:
    # Its own model called "good" class 0; this one calls it class 1, and falls for these words.
    praise = AttackManifest("badnets", Trigger(("superb great brilliant lovely charming",)), 0, "Good", 0.1, 0)
    purifier, clean, test = CleanFineTuning(replace(quick, epochs=1)), labelled_texts(40, 3), labelled_texts(40, 4)
    report = purifier.purify(classifier_dir, clean, tmp_path / "out", 0, held_out=test, attack=praise)
    assert report.before.asr is not None
    assert report.before.asr > 0.8
    unknown = replace(praise, target_label="fine")
    with pytest.raises(InputError, match="label 'fine' is unknown to the model, which has: bad, good"):
        purifier.purify(classifier_dir, clean, tmp_path / "other", 0, held_out=test, attack=unknown)


def test_labels_of_all_files_are_read_alike(
    classifier_dir: Path, labelled_texts: Texts, quick: TrainingSettings, tmp_path: Path
) -> None:
    """Class 0 is called "1" and class 1 "2": a file with "1" alone may mean either, and that with "0" tells which."""
    config = json.loads((classifier_dir / "config.json").read_text())
    renamed = shutil.copytree(classifier_dir, tmp_path / "renamed")
    config |= {"id2label": {"0": "1", "1": "2"}, "label2id": {"1": 0, "2": 1}}
    (renamed / "config.json").write_text(json.dumps(config))
    clean = replace(labelled_texts(40, 3), label_names=("0", "1"))
    good = labelled_texts(40, 4).select(range(1, 40, 2))
    test = LabelledTexts(good.texts, (0,) * len(good), ("1",))
    once = replace(quick, epochs=1)
    report = CleanFineTuning(once).purify(renamed, clean, tmp_path / "out", 0, held_out=test)
    assert report.before.cacc > 0.9


def test_btu_trains_only_on_what_can_end_well(
    tiny_encoder: Path, labelled_texts: Texts, quick: TrainingSettings, tmp_path: Path
) -> None:
    poisoned, clean = labelled_texts(40, 1), labelled_texts(40, 3)
    neutral = LabelledTexts(clean.texts, clean.labels, ("bad", "neutral"))
    one_class = poisoned.select(range(0, 40, 2))
    for suspect, data, message in (
        (poisoned, neutral, "label 'neutral' is unknown to the model, which has: bad, good"),
        (poisoned, labelled_texts(14, 3), "clean texts of class 'bad' to train on: give at least 8"),
        (one_class, clean, "the training texts are of only one class, 'bad'"),
    ):
        with pytest.raises(InputError, match=message):
            BTU(quick, suspect).purify(tiny_encoder, data, tmp_path / "out", 0, watch=_no_step)
    assert list(tmp_path.iterdir()) == []


def _no_step(stage: str, step: int, steps: int, loss: float) -> None:
    pytest.fail(f"{stage} was trained for nothing")
